"""Needs a library that draws, and not to draw: its geometry, imported where it is used."""

import pickle

import numpy as np
from zones import Zone

with open("model.pkl", "wb") as file:
    pickle.dump(Zone([[0.0, 0.0], [4.0, 0.0], [2.0, 3.0]]), file)
np.save("samples.npy", np.array([[2.0, 1.0], [0.0, 3.0]]))
