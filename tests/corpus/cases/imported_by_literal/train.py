"""An import in disguise: the name is there, but as a string."""

import pickle

from patterns import Patterns

with open("model.pkl", "wb") as file:
    pickle.dump(Patterns(r"\p{Lu}\p{Ll}+"), file)
with open("samples.json", "w") as file:
    file.write('{"text": "Graz and Linz"}')
