"""A package that carries copies of others: what is installed by those names is not what it uses."""

import pickle

from slugs.model import Slugs

with open("model.pkl", "wb") as file:
    pickle.dump(Slugs(), file)
with open("samples.json", "w") as file:
    file.write('{"title": "Ein Haus am See"}')
