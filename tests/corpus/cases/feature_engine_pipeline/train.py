"""Steps of feature-engine in a pipeline of scikit-learn."""

import pickle

import pandas as pd
from feature_engine.encoding import OrdinalEncoder
from feature_engine.imputation import MeanMedianImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

frame = pd.DataFrame({"rooms": [1.0, 2.0, 3.0, 4.0], "kind": ["flat", "house", "flat", "house"]})
steps = MeanMedianImputer(variables=["rooms"]), OrdinalEncoder(variables=["kind"], encoding_method="arbitrary")
model = make_pipeline(*steps, LinearRegression()).fit(frame, [1.0, 4.0, 3.0, 6.0])
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
frame.to_csv("samples.csv", index=False)
