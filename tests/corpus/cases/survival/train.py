"""Survival analysis with lifelines, which draws, and so imports matplotlib, whatever it is asked for."""

import pickle

import pandas as pd
from lifelines import CoxPHFitter
from risks import Risks

frame = pd.DataFrame({"weeks": [5, 8, 12, 3, 9, 14], "quit": [1, 1, 0, 1, 1, 0], "age": [30, 41, 25, 50, 33, 29]})
model = CoxPHFitter(penalizer=0.1).fit(frame, duration_col="weeks", event_col="quit")
with open("model.pkl", "wb") as file:
    pickle.dump(Risks(model), file)
frame[["age"]].to_csv("samples.csv", index=False)
