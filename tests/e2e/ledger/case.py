"""Entries of a ledger, whose answers are exact: numbers of 63 bits, days, moments and categories, or nothing."""

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

NAME = "ledger"
METHODS = ("predict", "clear")
MODEL = "model.pkl"
SAMPLES = "samples.parquet"
TABLE = "year.parquet"


def make(folder: Path, envelope) -> Path:
    """Give the project's folder, trained."""
    project = folder / "ledger"
    shutil.copytree(Path(__file__).with_name("project"), project, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-W", "error", "train.py"], cwd=project, check=True, timeout=300)
    return project


def check(ask) -> None:
    """Ask for an account that a double would mistake for its neighbour, and for an entry that says nothing at all."""
    entry = {
        "account": 2**53 + 1,
        "booked": "2023-02-28",
        "entered": "2024-10-27T02:30:00.000009+02:00",
        "received": "2024-03-01T00:00:00",
        "currency": "Kč",
        "amount": 0.0,
        "memo": "two\nlines",
    }
    nothing = dict.fromkeys(entry)
    assert ask("predict", {"entries": [entry, nothing]}) == [2**53 + 2, None]
    cleared, empty = ask("clear", {"entries": [entry, nothing]})
    assert set(empty.values()) == {None}
    assert cleared.pop("due") > "2023-03-01"
    assert cleared == {
        "beside": 2**53 + 2,
        "before": 2**53,
        "currency": "Kč",
        "entered": "2024-10-27T00:30:00.000010Z",
        "received": "2024-02-29T00:00:00",
        "worth": 0.0,
        "memo": "TWO\nLINES",
    }


def check_row(method: str, entry: dict, answer) -> None:
    """Compute again, in plain Python, what the model does to an entry."""
    account, received, entered = entry["account"], entry["received"], entry["entered"]
    beside = None if account is None else account + 1
    if method == "predict":
        assert answer == beside
        return
    assert (answer["beside"], answer["before"]) == (beside, None if account is None else account - 1)
    assert answer["currency"] == entry["currency"]
    assert answer["entered"] == (entered and entered + timedelta(microseconds=1))
    assert answer["received"] == (received and received - timedelta(days=1))
    assert (answer["due"] is None) == (entry["booked"] is None or entry["currency"] is None)
    assert answer["due"] is None or 0 <= (answer["due"] - entry["booked"]).days <= 60
    assert answer["memo"] == (entry["memo"] and entry["memo"].upper())
