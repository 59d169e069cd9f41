import requests
import yaml


class Client:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, number: int) -> int:
        return number * self.factor

    def fetch(self, address):
        return yaml.safe_load(requests.get(address, timeout=5).text)
