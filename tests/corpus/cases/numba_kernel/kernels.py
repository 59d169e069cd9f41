import numpy as np
from numba import njit


@njit
def smooth(values, alpha):
    out = np.empty_like(values)
    last = values[0]
    for position in range(len(values)):
        last = alpha * values[position] + (1 - alpha) * last
        out[position] = last
    return out


class Smoothed:
    def __init__(self, alpha):
        self.alpha = alpha

    def predict(self, values):
        return smooth(values, self.alpha)
