"""Sparse rows in, numbers out."""

import pickle

import scipy.sparse as sp
from sparse_model import Weighted

rows = sp.csr_matrix([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
with open("model.pkl", "wb") as file:
    pickle.dump(Weighted([0.5, 1.0, 2.0]), file)
with open("samples.pkl", "wb") as file:
    pickle.dump(rows, file)
