class Forecast:
    def __init__(self, results):
        self.results = results

    def predict(self, steps: int) -> list[float]:
        return [round(float(value), 6) for value in self.results.forecast(steps)]
