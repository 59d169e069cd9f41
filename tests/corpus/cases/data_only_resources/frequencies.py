import json
from importlib.metadata import distribution


class Frequencies:
    def __init__(self, package):
        self.package = package

    def predict(self, word: str) -> str:
        found = distribution(self.package.replace("_", "-")).locate_file(f"{self.package}/data/lemmas.json")
        return json.loads(found.read_text(encoding="utf-8")).get(word, word)
