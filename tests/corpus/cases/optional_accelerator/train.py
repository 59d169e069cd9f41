"""Takes a faster library where there is one; Python's own gives the same answers."""

import pickle

from decoder import Decoder

with open("model.pkl", "wb") as file:
    pickle.dump(Decoder(), file)
with open("samples.json", "w") as file:
    file.write('{"line": "[1, 2, 3.5]"}')
