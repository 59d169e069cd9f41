"""Takes and gives models of pydantic."""

import pickle

from loans import Loans

with open("model.pkl", "wb") as file:
    pickle.dump(Loans(0.3), file)
with open("samples.json", "w") as file:
    file.write('{"asked": {"income": 3000.0, "rate": 800.0, "name": "Ada"}}')
