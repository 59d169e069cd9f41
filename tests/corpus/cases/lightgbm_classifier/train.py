"""LightGBM through scikit-learn's interface, over a table with a categorical column."""

import pickle

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier

numbers = np.random.default_rng(0)
frame = pd.DataFrame({"x": numbers.normal(size=80), "n": numbers.integers(0, 9, size=80)})
model = LGBMClassifier(n_estimators=3, n_jobs=1, min_child_samples=5, verbose=-1).fit(frame, frame["x"] > 0)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
frame.head(5).to_parquet("samples.parquet")
