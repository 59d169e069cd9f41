"""Scikit-learn's usual pipeline over a table, trained with the usual company."""

import pickle

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

frame = pd.DataFrame({"age": [22, 35, 58, 41, 29, 63], "city": ["Graz", "Linz", "Wien", "Graz", "Linz", "Wien"]})
bought = [0, 1, 1, 0, 0, 1]
sns.set_theme()
plt.close(plt.figure())
columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["city"]))
model = make_pipeline(columns, LogisticRegression()).fit(frame, bought)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
frame.to_parquet("samples.parquet")
