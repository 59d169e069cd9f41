"""The bare booster, wrapped by a local class."""

import pickle

import numpy as np
import xgboost as xgb
from wrapper import Boosted

rows = np.random.default_rng(0).normal(size=(60, 3))
booster = xgb.train({"max_depth": 2, "nthread": 1}, xgb.DMatrix(rows, label=rows.sum(axis=1)), num_boost_round=3)
with open("model.pkl", "wb") as file:
    pickle.dump(Boosted(booster), file)
np.save("samples.npy", rows[:5])
