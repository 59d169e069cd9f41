"""A time series that is asked for so many steps."""

import pickle

import numpy as np
from forecast import Forecast
from statsmodels.tsa.holtwinters import SimpleExpSmoothing

results = SimpleExpSmoothing(np.array([3.0, 4.0, 3.5, 4.5, 4.0, 5.0]), initialization_method="estimated").fit()
with open("model.pkl", "wb") as file:
    pickle.dump(Forecast(results), file)
with open("samples.json", "w") as file:
    file.write('{"steps": 3}')
