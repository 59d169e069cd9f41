"""Hours of the day where people live, with pytz and dateutil."""

import pickle

from hours import LocalHour

with open("model.pkl", "wb") as file:
    pickle.dump(LocalHour("Europe/Vienna"), file)
with open("samples.json", "w") as file:
    file.write('{"when": "2026-07-01T12:00:00+00:00"}')
