from shapely import Point


class Area:
    def __init__(self, polygon):
        self.polygon = polygon

    def predict(self, x: float, y: float) -> float:
        return self.polygon.distance(Point(x, y))
