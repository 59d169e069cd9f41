class Weighted:
    def __init__(self, weights):
        self.weights = weights

    def predict(self, rows):
        return rows @ self.weights
