from rapidfuzz import fuzz


class Ranked:
    def __init__(self, names):
        self.names = names

    def predict(self, wish: str) -> str:
        return max(self.names, key=lambda name: fuzz.ratio(name, wish))
