"""A plug-in that only its entry point names."""

import pickle

import numpy as np
from scoring import Scoring

with open("model.pkl", "wb") as file:
    pickle.dump(Scoring("linear", [1.0, 0.5]), file)
np.save("samples.npy", np.array([[1.0, 2.0], [0.0, 4.0]]))
