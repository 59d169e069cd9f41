import importlib


class Steps:
    def __init__(self, names):
        self.names = names

    def predict(self, word: str) -> str:
        for name in self.names:
            module, _, function = name.rpartition(".")
            word = getattr(importlib.import_module(module), function)(word)
        return word
