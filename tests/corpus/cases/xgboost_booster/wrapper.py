import xgboost as xgb


class Boosted:
    def __init__(self, booster):
        self.booster = booster

    def predict(self, rows):
        return self.booster.predict(xgb.DMatrix(rows))
