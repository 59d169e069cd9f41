"""Two of the three distributions that share a namespace package."""

import pickle

import numpy as np
from acme.rules import Above
from acme.scaling import Scaler
from judge import Judge

rows = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 9.0]])
with open("model.pkl", "wb") as file:
    pickle.dump(Judge(Scaler().fit(rows), Above(1.0)), file)
np.save("samples.npy", rows)
