"""Train the model on entries that are made up; ``samples.parquet`` and ``year.parquet`` are some and many of them.

Numbers of accounts need all 63 bits, days and moments lie on both sides of 1970 and of the Gregorian calendar's first
day, and everything may be missing but a row.
"""

import pickle
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
from ledger import Clearing

ACCOUNTS = [2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 2, 1 - 2**63, 0, None]
CURRENCIES = ["EUR", "USD", "Kč", "円", None]
DAYS = [date(1, 1, 1), date(1582, 10, 4), date(1600, 2, 29), date(1969, 12, 31), date(2024, 2, 29), date(9998, 12, 31)]
MOMENTS = [
    datetime.fromisoformat("1815-06-18T11:35:00.000001"),
    datetime.fromisoformat("1969-12-31T23:59:59.999999"),
    datetime.fromisoformat("2024-03-10T02:30:00"),  # what no clock in New York showed
    datetime.fromisoformat("2024-11-03T01:30:00"),  # and what all of them showed twice
]
MEMOS = ["Zürich", "", "null", "NaN", "two\nlines", None]


def make_entries(rows: int, seed: int) -> pd.DataFrame:
    """Make up so many entries: first one of each that is special, then any."""
    chance = random.Random(seed)
    moments = [moment(chance) for _ in range(rows)]
    columns = {
        "account": pd.array([at(ACCOUNTS, row, chance.randrange(2**60)) for row in range(rows)], dtype="Int64"),
        "booked": pd.Series([at([*DAYS, None], row, day(chance)) for row in range(rows)], dtype=object),
        "entered": pd.Series(moments, dtype="datetime64[us]").dt.tz_localize(UTC),
        "received": pd.Series(reversed(moments), dtype="datetime64[us]"),
        "currency": pd.Categorical([chance.choice(CURRENCIES) for _ in range(rows)], CURRENCIES[:-1]),
        "amount": [None if chance.random() < 0.1 else chance.uniform(-1e6, 1e6) for _ in range(rows)],
        "memo": pd.Series([chance.choice(MEMOS) for _ in range(rows)], dtype=object),
    }
    return pd.DataFrame(columns)


def at(special: list, row: int, other):
    return special[row] if row < len(special) else other


def day(chance: random.Random) -> date | None:
    return None if chance.random() < 0.1 else date(1900, 1, 1) + timedelta(days=chance.randrange(60_000))


def moment(chance: random.Random) -> datetime | None:
    if chance.random() < 0.2:
        return chance.choice([*MOMENTS, None])
    return MOMENTS[0] + timedelta(microseconds=chance.randrange(10**16))


def main() -> None:
    entries = make_entries(2000, seed=0)
    model = Clearing.fit(entries, paid_after=pd.Series(range(len(entries))) % 61)
    Path("model.pkl").write_bytes(pickle.dumps(model))
    make_entries(60, seed=1).to_parquet("samples.parquet")
    make_entries(1500, seed=2).to_parquet("year.parquet")


if __name__ == "__main__":
    main()
