import importlib


class Patterns:
    def __init__(self, pattern):
        self.pattern = pattern

    def predict(self, text: str) -> list[str]:
        engine = importlib.import_module("regex")
        return engine.findall(self.pattern, text)
