import numpy as np
from sklearn.linear_model import Ridge

from house_prices.text import plain


class PriceModel:
    def __init__(self, cities):
        self.cities = {plain(city): number for number, city in enumerate(cities)}
        self.ridge = Ridge()

    def fit(self, frame, prices):
        self.ridge.fit(self.matrix(frame), prices)
        return self

    def matrix(self, frame):
        towns = [self.cities.get(plain(city), -1) for city in frame["city"]]
        return np.column_stack([frame["area"].to_numpy(), np.array(towns, dtype=float)])

    def predict(self, frame):
        return self.ridge.predict(self.matrix(frame))
