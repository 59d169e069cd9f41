from langdetect import DetectorFactory, detect

DetectorFactory.seed = 0


class Language:
    def predict(self, text: str) -> str:
        return detect(text)
