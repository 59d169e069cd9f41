class Risks:
    def __init__(self, fitter):
        self.fitter = fitter

    def predict(self, frame):
        return self.fitter.predict_partial_hazard(frame).to_numpy()
