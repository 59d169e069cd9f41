from scipy.stats import zscore


class Scaled:
    def fit(self, rows):
        self.rows = rows
        return self

    def predict(self, rows):
        return zscore([*self.rows, *rows])[len(self.rows) :].sum(axis=1)
