"""A pipeline with a function of a local module in it."""

import pickle

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from features import logs

rows = np.random.default_rng(0).normal(size=(40, 2))
model = make_pipeline(FunctionTransformer(logs), LinearRegression()).fit(rows, rows.sum(axis=1))
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
np.save("samples.npy", rows[:5])
