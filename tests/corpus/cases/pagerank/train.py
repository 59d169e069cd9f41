"""A graph: networkx does its sums with scipy, which it does not require."""

import pickle

import networkx as nx
from ranks import Ranks

with open("model.pkl", "wb") as file:
    pickle.dump(Ranks(nx.DiGraph([("a", "b"), ("c", "b"), ("b", "a"), ("d", "c")])), file)
with open("samples.json", "w") as file:
    file.write('{"page": "b"}')
