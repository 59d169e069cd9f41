from importlib.metadata import version


class Checked:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, number: int) -> int:
        major = int(version("joblib").partition(".")[0])
        if major < 1:
            raise RuntimeError("joblib is too old")
        return number * self.factor
