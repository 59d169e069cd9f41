"""Imports at the top what it never uses: without it the module does not load, so it is needed all the same."""

import pickle

from client import Client

with open("model.pkl", "wb") as file:
    pickle.dump(Client(3), file)
with open("samples.json", "w") as file:
    file.write('{"number": 4}')
