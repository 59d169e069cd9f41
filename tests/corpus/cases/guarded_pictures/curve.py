import numpy as np

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None

try:
    from tqdm import tqdm
except ImportError:

    def tqdm(steps):
        return steps


class Curve:
    def __init__(self, weights):
        self.weights = weights

    def predict(self, xs):
        return sum(weight * np.asarray(xs) ** power for power, weight in tqdm(list(enumerate(self.weights))))

    def draw(self, xs):
        plt.plot(xs, self.predict(xs))
