class Zone:
    def __init__(self, corners):
        self.corners = corners

    def predict(self, points):
        from matplotlib.path import Path

        return Path(self.corners).contains_points(points)
