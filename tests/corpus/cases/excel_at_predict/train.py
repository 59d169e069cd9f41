"""The same with a sheet of Excel: the engine is named nowhere."""

import pickle

import pandas as pd
from budget import Budget

pd.DataFrame({"team": ["ml", "web"], "euros": [1200, 800]}).to_excel("budget/budget.xlsx", index=False)
with open("model.pkl", "wb") as file:
    pickle.dump(Budget(), file)
with open("samples.json", "w") as file:
    file.write('{"team": "ml"}')
