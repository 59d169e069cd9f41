"""Transformers of a local package with subpackages, relative imports and a file of data."""

import pickle

import pandas as pd
from shop.model import build

frame = pd.DataFrame({"when": ["2026-01-05", "2026-07-14", "2026-12-24", "2026-03-02"], "sold": [3, 9, 20, 4]})
model = build().fit(frame[["when"]], frame["sold"])
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
frame[["when"]].to_csv("samples.csv", index=False)
