from sklearn.base import BaseEstimator


class Widest(BaseEstimator):
    def fit(self, table, y=None):
        self.fitted_ = True
        return self

    def predict(self, table):
        return table.max_horizontal().to_numpy()
