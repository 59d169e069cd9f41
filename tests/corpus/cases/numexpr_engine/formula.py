class Formula:
    def __init__(self, text):
        self.text = text

    def predict(self, frame):
        return frame.eval(self.text, engine="numexpr")
