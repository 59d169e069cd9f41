"""The model: where an entry of a ledger goes, and when it is due."""

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd


@dataclass
class Clearing:
    """Clears entries: each account has the one with the next number beside it, and each currency its term."""

    days: dict[str, int]
    rates: dict[str, float]

    @classmethod
    def fit(cls, entries: pd.DataFrame, paid_after: pd.Series) -> "Clearing":
        """Learn how many days each currency takes, and what an entry in it is worth beside the mean."""
        by_currency = entries["amount"].groupby(entries["currency"], observed=False).mean()
        days = paid_after.groupby(entries["currency"], observed=False).median()
        return cls(days.astype(int).to_dict(), (by_currency / entries["amount"].mean()).to_dict())

    def predict(self, entries: pd.DataFrame) -> pd.Series:
        """Give the number of the account beside; none where an entry has no account."""
        return entries["account"] + 1

    def clear(self, entries: pd.DataFrame) -> pd.DataFrame:
        """Give each entry as it is booked on the account beside."""
        currency = entries["currency"].astype(object)
        return pd.DataFrame(
            {
                "beside": entries["account"] + 1,
                "before": entries["account"] - 1,
                "currency": entries["currency"],
                "due": [_later(*pair) for pair in zip(entries["booked"], currency.map(self.days), strict=True)],
                "entered": entries["entered"] + pd.Timedelta(microseconds=1),
                "received": entries["received"] - pd.Timedelta(days=1),
                "worth": entries["amount"] * currency.map(self.rates).astype("float64"),
                "memo": entries["memo"].str.upper(),
            },
            index=entries.index,
        ).astype({"due": object})


def _later(booked, days):
    return None if pd.isna(booked) or pd.isna(days) else booked + timedelta(days=int(days))
