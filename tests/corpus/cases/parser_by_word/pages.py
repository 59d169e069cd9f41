from bs4 import BeautifulSoup


class Headlines:
    def __init__(self, parser):
        self.parser = parser

    def predict(self, page: str) -> list[str]:
        return [found.get_text() for found in BeautifulSoup(page, self.parser).find_all("h1")]
