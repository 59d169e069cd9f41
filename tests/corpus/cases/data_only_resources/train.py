"""Reads a file of a data package and never imports the package in words."""

import pickle

from frequencies import Frequencies

with open("model.pkl", "wb") as file:
    pickle.dump(Frequencies("tinylang_de_core"), file)
with open("samples.json", "w") as file:
    file.write('{"word": "ging"}')
