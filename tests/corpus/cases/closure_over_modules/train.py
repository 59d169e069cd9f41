"""A function that closes over modules, and calls another one that does too."""

import cloudpickle
import numpy as np
import scipy.special as special
import seaborn as sns


def make(rate):
    palette = sns.color_palette("deep", 2)
    colours = len(palette)

    def soft(rows):
        return special.softmax(np.asarray(rows, dtype=float) * rate, axis=1)

    return lambda rows: soft(rows).round(6) + 0 * colours


with open("model.pkl", "wb") as file:
    cloudpickle.dump(make(0.5), file)
np.save("samples.npy", np.array([[1.0, 2.0], [3.0, 0.0]]))
