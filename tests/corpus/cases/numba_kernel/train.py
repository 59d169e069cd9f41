"""A kernel that numba compiles."""

import pickle

import numpy as np
from kernels import Smoothed

with open("model.pkl", "wb") as file:
    pickle.dump(Smoothed(0.5), file)
np.save("samples.npy", np.array([1.0, 2.0, 8.0, 4.0]))
