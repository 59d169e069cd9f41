"""Target encoding, then boosting."""

import pickle

import category_encoders as ce
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.pipeline import make_pipeline

frame = pd.DataFrame({"zip": ["1010", "8010", "4020", "1010", "8010", "4020"], "size": [50, 70, 60, 55, 72, 64]})
prices = [300.0, 210.0, 190.0, 320.0, 215.0, 200.0]
model = make_pipeline(ce.TargetEncoder(cols=["zip"]), GradientBoostingRegressor(n_estimators=5, random_state=0))
with open("model.pkl", "wb") as file:
    pickle.dump(model.fit(frame, prices), file)
frame.to_parquet("samples.parquet")
