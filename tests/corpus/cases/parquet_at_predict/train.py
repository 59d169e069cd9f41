"""Reads a Parquet file of its own package at the first question: pandas looks for an engine by itself."""

import pickle

import pandas as pd
from tariffs import Tariffs

pd.DataFrame({"zone": [1, 2, 3], "fee": [2.4, 4.8, 7.2]}).to_parquet("tariffs/fees.parquet")
with open("model.pkl", "wb") as file:
    pickle.dump(Tariffs(), file)
with open("samples.json", "w") as file:
    file.write('{"zone": 2}')
