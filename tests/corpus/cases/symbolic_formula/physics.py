import sympy


class Formula:
    def __init__(self, expression, symbol):
        self.expression, self.symbol = expression, symbol

    def predict(self, values):
        return sympy.lambdify(self.symbol, self.expression, "numpy")(values).round(9)
