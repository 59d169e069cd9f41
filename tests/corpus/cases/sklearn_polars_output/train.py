"""A step that is told by a word to give tables of polars, and a local step that takes them."""

import pickle

import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from steps import Widest

frame = pd.DataFrame({"a": [1.0, 2.0, 4.0, 8.0], "b": [3.0, 1.0, 2.0, 5.0]})
scaler = StandardScaler().set_output(transform="polars")
model = make_pipeline(scaler, Widest()).fit(frame)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
frame.to_csv("samples.csv", index=False)
