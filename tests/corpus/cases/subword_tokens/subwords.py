class Subwords:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def predict(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids
