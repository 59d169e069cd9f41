"""A language that is loaded by the name of its package, which is a distribution of data."""

import pickle

from lemmas import Lemmas

with open("model.pkl", "wb") as file:
    pickle.dump(Lemmas("tinylang_en_core"), file)
with open("samples.json", "w") as file:
    file.write('{"text": "Mice ran"}')
