class Prices:
    def __init__(self, results):
        self.results = results

    def predict(self, frame):
        return self.results.predict(frame)
