"""The other half of the namespace package: rules in words."""


class Above:
    def __init__(self, bound):
        self.bound = bound

    def __call__(self, value):
        return "high" if value > self.bound else "low"
