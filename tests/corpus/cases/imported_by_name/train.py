"""Its steps are named in a configuration; what they are of is nowhere imported in words."""

import pickle

from steps import Steps

with open("model.pkl", "wb") as file:
    pickle.dump(Steps(["jellyfish.metaphone", "unidecode.unidecode"]), file)
with open("samples.json", "w") as file:
    file.write('{"word": "Thompson"}')
