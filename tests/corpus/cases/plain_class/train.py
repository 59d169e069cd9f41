"""A class that needs nothing but Python."""

import pickle

import pandas as pd
from scorecard import Scorecard

table = pd.DataFrame({"grade": ["a", "b", "c"], "points": [30, 20, 5]})
with open("model.pkl", "wb") as file:
    pickle.dump(Scorecard(dict(zip(table["grade"], table["points"].tolist()))), file)
with open("samples.json", "w") as file:
    file.write('{"grades": ["a", "c", "b"]}')
