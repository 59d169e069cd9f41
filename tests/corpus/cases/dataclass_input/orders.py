from dataclasses import dataclass


@dataclass
class Line:
    count: int
    price: float


class Total:
    def predict(self, lines: list[Line]) -> float:
        return sum(line.count * line.price for line in lines)
