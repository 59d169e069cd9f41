"""The same, but the script imports what it draws with at its top: whoever loads the class runs that too."""

import pickle

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import seaborn as sns
from sklearn.linear_model import LinearRegression


class Doubled:
    def __init__(self, model):
        self.model = model

    def predict(self, rows):
        return 2 * self.model.predict(rows)


if __name__ == "__main__":
    import numpy as np

    rows = np.arange(12.0).reshape(6, 2)
    model = Doubled(LinearRegression().fit(rows, rows[:, 0]))
    sns.histplot(model.predict(rows))
    plt.close("all")
    with open("model.pkl", "wb") as file:
        pickle.dump(model, file)
    np.save("samples.npy", rows[:3])
