"""The models that `bench-service`, `bench-batch` and `soak` ask: trained on made-up flights, and packed."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

CARRIERS = ["UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS", "F9", "YV", "HA", "OO"]
ORIGINS = ["EWR", "JFK", "LGA"]
NUMBERS = ["distance", "temperature", "humidity", "wind_speed", "pressure", "visibility"]
ADDER = """
class Adder:
    def predict(self, a: float, b: float, c: float, d: float) -> float:
        return a + b + c + d
"""
ADDER_SAMPLE = '{"a": 1.5, "b": -2.25, "c": 3.0, "d": 0.125}\n'


def flights(rows: int, seed: int = 0) -> pd.DataFrame:
    """Make up flights: 2 columns of text, 6 of floats, 1 of integers."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "carrier": rng.choice(CARRIERS, rows),
            "origin": rng.choice(ORIGINS, rows),
            "distance": rng.integers(80, 4983, rows).astype(float),
            "temperature": rng.normal(55, 18, rows).round(2),
            "humidity": rng.uniform(12, 100, rows).round(2),
            "wind_speed": rng.gamma(2, 5, rows).round(5),
            "pressure": rng.normal(1017, 7, rows).round(1),
            "visibility": rng.uniform(0, 10, rows).round(2),
            "month": rng.integers(1, 13, rows),
        }
    )


def pack_flights(folder: Path, *, seed: int = 0, locked: bool = False) -> tuple[Path, Path]:
    """Train one-hot, scaling and logistic regression; give the pickle and the envelope, ``locked`` or not."""
    return _train(LogisticRegression(max_iter=1000), folder, seed=seed, locked=locked)


def pack_forest(folder: Path) -> tuple[Path, Path]:
    """Train a forest, which takes long to predict; give the pickle and the envelope."""
    return _train(RandomForestClassifier(400, max_depth=12, n_jobs=1, random_state=0), folder)


def _train(last: ClassifierMixin, folder: Path, *, seed: int = 0, locked: bool = False) -> tuple[Path, Path]:
    frame = flights(20_000, seed)
    chance = np.random.default_rng(1).normal(0, 1, len(frame))
    late = (frame["month"] % 6 - 2 + frame["wind_speed"] / 8 + frame["carrier"].isin(CARRIERS[:4]) + chance > 2).astype(
        int
    )
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin"]),
        (StandardScaler(), NUMBERS),
        remainder="passthrough",
    )
    model = make_pipeline(columns, last).fit(frame, late)
    folder.mkdir(parents=True)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    frame.head(200).to_parquet(folder / "samples.parquet")
    return folder / "model.pkl", _pack(folder, "samples.parquet", locked=locked)


def pack_adder(folder: Path) -> tuple[Path, Path]:
    """Make a model that costs nothing; give the pickle and the envelope."""
    folder.mkdir(parents=True)
    (folder / "adding.py").write_text(ADDER)
    (folder / "samples.json").write_text(ADDER_SAMPLE)
    code = "import adding, pickle; pickle.dump(adding.Adder(), open('model.pkl', 'wb'))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder / "model.pkl", _pack(folder, "samples.json")


def _pack(folder: Path, samples: str, *, locked: bool = False) -> Path:
    command = [str(Path(sys.executable).with_name("envelope")), "pack", "model.pkl", "--input", samples]
    command += ["--method", "predict", *([] if locked else ["--no-lock"]), "--no-proof", "-o", "sealed"]
    places = {"ENVELOPE_CACHE_DIR": str(folder / "cache"), "ENVELOPE_STATE_DIR": str(folder / "state")}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **places}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return folder / done.stdout.strip()
