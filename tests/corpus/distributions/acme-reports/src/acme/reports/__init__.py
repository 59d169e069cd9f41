"""A third part of the namespace package, that no model uses."""

import matplotlib.pyplot as plt
from acme.scaling import Scaler


def draw(rows):
    figure, axes = plt.subplots()
    axes.plot(Scaler().fit(rows).transform(rows))
    return figure
