"""Holidays: a library that imports its own parts by name."""

import pickle

from calendars import Open

with open("model.pkl", "wb") as file:
    pickle.dump(Open("AT"), file)
with open("samples.json", "w") as file:
    file.write('{"day": "2026-12-25"}')
