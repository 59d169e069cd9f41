class Lookup:
    def __init__(self, table):
        self.table = table

    def predict(self, country: str, net: float) -> float:
        return round(float(net * (1 + self.table.loc[country, "rate"])), 2)
