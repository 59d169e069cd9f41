"""A local module that is called like an installed distribution, and stands before it."""

import pickle

from tabulate import Tabulate

with open("model.pkl", "wb") as file:
    pickle.dump(Tabulate(7), file)
with open("samples.json", "w") as file:
    file.write('{"number": 6}')
