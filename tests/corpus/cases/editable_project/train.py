"""A model of a project that is installed editable."""

import pickle

import pandas as pd
from house_prices.model import PriceModel

frame = pd.DataFrame({"area": [50.0, 80.0, 120.0, 65.0], "city": ["Graz", "Linz", "Mürzzuschlag", "Graz"]})
with open("model.pkl", "wb") as file:
    pickle.dump(PriceModel(["graz", "linz", "Mürzzuschlag"]).fit(frame, [200.0, 280.0, 150.0, 240.0]), file)
frame.to_csv("samples.csv", index=False)
