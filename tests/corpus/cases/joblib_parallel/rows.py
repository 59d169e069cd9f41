import numpy as np
from joblib import Parallel, delayed


def norm(row, power):
    return float((np.abs(row) ** power).sum() ** (1 / power))


class RowWise:
    def __init__(self, power):
        self.power = power

    def predict(self, rows):
        return np.array(Parallel(n_jobs=2, prefer="threads")(delayed(norm)(row, self.power) for row in rows))
