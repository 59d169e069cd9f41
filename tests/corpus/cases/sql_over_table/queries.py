import pandas as pd


class Query:
    def __init__(self, text):
        self.text = text

    def predict(self, sales: pd.DataFrame) -> pd.DataFrame:
        import duckdb

        with duckdb.connect() as connection:
            connection.register("sales", sales)
            return connection.execute(self.text).df()
