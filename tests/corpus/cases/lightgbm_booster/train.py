"""LightGBM's own booster, kept as its text."""

import pickle

import lightgbm as lgb
import numpy as np
from wrapper import FromText

rows = np.random.default_rng(0).normal(size=(80, 3))
settings = {"objective": "regression", "num_threads": 1, "verbose": -1, "min_data_in_leaf": 5}
booster = lgb.train(settings, lgb.Dataset(rows, label=rows[:, 0]), num_boost_round=3)
with open("model.pkl", "wb") as file:
    pickle.dump(FromText(booster.model_to_string()), file)
np.save("samples.npy", rows[:5])
