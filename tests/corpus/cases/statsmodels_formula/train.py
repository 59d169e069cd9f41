"""A regression by a formula: the results know how to make their matrix from a table."""

import pickle

import pandas as pd
import statsmodels.formula.api as smf
from prices import Prices

frame = pd.DataFrame(
    {"price": [10.0, 12.5, 9.0, 14.0, 15.5, 8.0], "size": [5, 6, 4, 7, 8, 4], "kind": ["a", "b", "a", "b", "b", "a"]}
)
with open("model.pkl", "wb") as file:
    pickle.dump(Prices(smf.ols("price ~ size + C(kind)", data=frame).fit()), file)
frame[["size", "kind"]].to_csv("samples.csv", index=False)
