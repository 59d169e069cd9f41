class SpamModel:
    def __init__(self, pipeline):
        self.pipeline = pipeline

    def predict(self, mails: list[str]) -> list[str]:
        return [str(word) for word in self.pipeline.predict(mails)]
