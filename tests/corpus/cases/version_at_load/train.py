"""Asks for the version of a distribution that it never imports."""

import pickle

from checked import Checked

with open("model.pkl", "wb") as file:
    pickle.dump(Checked(2), file)
with open("samples.json", "w") as file:
    file.write('{"number": 21}')
