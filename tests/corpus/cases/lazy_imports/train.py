"""What it needs is imported where it is used."""

import pickle

from moments import Moments

with open("model.pkl", "wb") as file:
    pickle.dump(Moments(), file)
with open("samples.json", "w") as file:
    file.write('{"when": ["5 January 2026", "2026-03-01T12:00"]}')
