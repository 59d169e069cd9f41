"""Takes a dataclass: Python alone."""

import pickle

from orders import Total

with open("model.pkl", "wb") as file:
    pickle.dump(Total(), file)
with open("samples.json", "w") as file:
    file.write('{"lines": [{"count": 2, "price": 9.5}, {"count": 1, "price": 3.0}]}')
