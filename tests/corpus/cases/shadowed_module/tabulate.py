class Tabulate:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, number: int) -> int:
        return number * self.factor
