from pathlib import Path

import pandas as pd


class Tariffs:
    def predict(self, zone: int) -> float:
        fees = pd.read_parquet(Path(__file__).with_name("fees.parquet"))
        return float(fees.set_index("zone").loc[zone, "fee"])
