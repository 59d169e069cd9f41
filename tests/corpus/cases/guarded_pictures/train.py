"""Imports what it could draw with, if it is there."""

import pickle

import numpy as np
from curve import Curve

with open("model.pkl", "wb") as file:
    pickle.dump(Curve([1.0, -2.0, 0.5]), file)
np.save("samples.npy", np.array([0.0, 1.0, 2.0]))
