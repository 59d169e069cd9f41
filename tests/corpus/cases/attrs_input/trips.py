import attrs


@attrs.frozen
class Trip:
    km: float
    minutes: int


class Fares:
    def __init__(self, price):
        self.price = price

    def predict(self, trip: Trip) -> float:
        return round(trip.km * self.price + trip.minutes * 0.2, 2)
