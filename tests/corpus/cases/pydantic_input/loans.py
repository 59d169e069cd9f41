from pydantic import BaseModel


class Asked(BaseModel):
    income: float
    rate: float
    name: str


class Decision(BaseModel):
    granted: bool
    share: float


class Loans:
    def __init__(self, limit):
        self.limit = limit

    def predict(self, asked: Asked) -> Decision:
        share = asked.rate / asked.income
        return Decision(granted=share < self.limit, share=round(share, 3))
