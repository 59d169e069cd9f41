"""A plug-in: found by its entry point alone."""

import numpy as np


class Linear:
    def __init__(self, weights):
        self.weights = np.asarray(weights)

    def score(self, rows):
        return rows @ self.weights
