from sklearn.base import BaseEstimator, TransformerMixin


class Drop(BaseEstimator, TransformerMixin):
    def __init__(self, names):
        self.names = names

    def fit(self, frame, y=None):
        self.fitted_ = True
        return self

    def transform(self, frame):
        return frame.drop(columns=self.names)
