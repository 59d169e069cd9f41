"""Asks a table with SQL: duckdb sees it by the name of a variable."""

import pickle

import pandas as pd
from queries import Query

frame = pd.DataFrame({"shop": ["a", "b", "a"], "sold": [3, 4, 5]})
with open("model.pkl", "wb") as file:
    pickle.dump(Query("select shop, sum(sold)::int as sold from sales group by shop order by shop"), file)
frame.to_csv("samples.csv", index=False)
