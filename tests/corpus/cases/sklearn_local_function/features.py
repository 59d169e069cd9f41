import numpy as np


def logs(rows):
    return np.log1p(np.abs(rows))
