"""Geometry kept as objects of shapely."""

import pickle

from area import Area
from shapely.geometry import Polygon

with open("model.pkl", "wb") as file:
    pickle.dump(Area(Polygon([(0, 0), (4, 0), (4, 4), (0, 4)])), file)
with open("samples.json", "w") as file:
    file.write('{"x": 1.0, "y": 5.0}')
