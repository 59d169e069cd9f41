"""Gradient boosting through scikit-learn's interface."""

import pickle

import numpy as np
from xgboost import XGBClassifier

rows = np.random.default_rng(0).normal(size=(60, 3))
model = XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1).fit(rows, (rows[:, 0] > 0).astype(int))
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
np.save("samples.npy", rows[:5])
