"""Asks in parallel, with joblib."""

import pickle

import numpy as np
from rows import RowWise

with open("model.pkl", "wb") as file:
    pickle.dump(RowWise(3.0), file)
np.save("samples.npy", np.arange(6.0).reshape(3, 2))
