"""Answers with a table in Markdown, which pandas leaves to tabulate."""

import pickle

import pandas as pd
from summary import Summary

frame = pd.DataFrame({"team": ["a", "b", "a"], "points": [3, 1, 0]})
with open("model.pkl", "wb") as file:
    pickle.dump(Summary(), file)
frame.to_csv("samples.csv", index=False)
