"""One module for everything: what trains, what draws, what answers."""

import pickle

import numpy as np
from everything import Threshold, search

rows = np.random.default_rng(0).normal(size=20)
with open("model.pkl", "wb") as file:
    pickle.dump(Threshold(round(search(rows), 1)), file)
np.save("samples.npy", rows[:4])
