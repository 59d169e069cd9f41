import tinylang


class Lemmas:
    def __init__(self, language):
        self.language = language
        self.loaded = None

    def __getstate__(self):
        return {"language": self.language, "loaded": None}

    def predict(self, text: str) -> list[str]:
        if self.loaded is None:
            self.loaded = tinylang.load(self.language)
        return self.loaded(text)
