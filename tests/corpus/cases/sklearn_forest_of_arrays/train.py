"""A forest over plain arrays."""

import pickle

import numpy as np
from sklearn.ensemble import RandomForestClassifier

rows = np.random.default_rng(0).normal(size=(60, 3))
model = RandomForestClassifier(n_estimators=5, random_state=0).fit(rows, rows[:, 0] > 0)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
np.save("samples.npy", rows[:6])
