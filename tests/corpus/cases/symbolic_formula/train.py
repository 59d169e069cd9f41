"""A formula that sympy turns into code of numpy, which it does not require."""

import pickle

import numpy as np
import sympy
from physics import Formula

x = sympy.Symbol("x")
with open("model.pkl", "wb") as file:
    pickle.dump(Formula(sympy.diff(sympy.sin(x) * x, x), x), file)
np.save("samples.npy", np.array([0.0, 0.5, 1.0]))
