"""CatBoost, which requires three libraries that draw."""

import pickle

import numpy as np
from catboost import CatBoostRegressor

rows = np.random.default_rng(0).normal(size=(60, 3))
model = CatBoostRegressor(iterations=3, depth=2, verbose=False, thread_count=1, allow_writing_files=False)
with open("model.pkl", "wb") as file:
    pickle.dump(model.fit(rows, rows.sum(axis=1)), file)
np.save("samples.npy", rows[:5])
