class Judge:
    def __init__(self, scaler, rule):
        self.scaler, self.rule = scaler, rule

    def predict(self, rows):
        return [self.rule(value) for value in self.scaler.transform(rows).sum(axis=1)]
