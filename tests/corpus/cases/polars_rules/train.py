"""Rules over a table of polars."""

import pickle

import polars as pl
from rules import Rules

frame = pl.DataFrame({"amount": [10.0, 250.0, 90.0], "country": ["AT", "DE", "AT"]})
with open("model.pkl", "wb") as file:
    pickle.dump(Rules({"AT": 80.0, "DE": 300.0}), file)
with open("samples.pkl", "wb") as file:
    pickle.dump(frame, file)
