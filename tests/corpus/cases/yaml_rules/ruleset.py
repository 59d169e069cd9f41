import yaml


class Ruleset:
    def __init__(self, text):
        self.text = text

    def predict(self, amount: float) -> str:
        rules = yaml.safe_load(self.text)
        return next((rule["answer"] for rule in rules if amount > rule["above"]), "low")
