"""A pipeline of imbalanced-learn: its sampler works in training only, but the pickle holds it."""

import pickle

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression

rows = np.random.default_rng(0).normal(size=(50, 2))
model = make_pipeline(RandomOverSampler(random_state=0), LogisticRegression()).fit(rows, rows[:, 0] > 1)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
np.save("samples.npy", rows[:4])
