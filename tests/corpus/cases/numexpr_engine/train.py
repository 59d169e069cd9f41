"""An expression that pandas hands to numexpr."""

import pickle

import pandas as pd
from formula import Formula

frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.5, 0.25, 0.75]})
with open("model.pkl", "wb") as file:
    pickle.dump(Formula("a * 2 + b"), file)
frame.to_csv("samples.csv", index=False)
