"""Puts the folder of the helpers on the path by itself."""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "library"))
from ranking import Ranked

with open("model.pkl", "wb") as file:
    pickle.dump(Ranked(["red wine", "white wine", "apple juice"]), file)
with open("samples.json", "w") as file:
    file.write('{"wish": "wite wine"}')
