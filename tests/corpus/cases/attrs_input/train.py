"""Takes what attrs makes."""

import pickle

from trips import Fares

with open("model.pkl", "wb") as file:
    pickle.dump(Fares(1.5), file)
with open("samples.json", "w") as file:
    file.write('{"trip": {"km": 12.0, "minutes": 20}}')
