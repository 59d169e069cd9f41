"""A function kept with dill."""

import math

import dill


def price(size: float, rooms: int) -> float:
    return round(math.sqrt(size) * rooms, 3)


with open("model.pkl", "wb") as file:
    dill.dump(price, file, recurse=True)
with open("samples.json", "w") as file:
    file.write('{"size": 81.0, "rooms": 3}')
