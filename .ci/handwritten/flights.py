"""The service that a good engineer would write by hand for the model of `make bench-service`, which measures it."""

import os
import pickle
from pathlib import Path

import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

model = pickle.loads(Path(os.environ["MODEL"]).read_bytes())
app = FastAPI(title="flights")


class Flight(BaseModel):
    """What is known of a flight before it leaves."""

    carrier: str
    origin: str
    distance: float
    temperature: float
    humidity: float
    wind_speed: float
    pressure: float
    visibility: float
    month: int


@app.post("/predict")
async def predict(flight: Flight) -> int:
    """Say whether a flight is late."""
    return int(model.predict(pd.DataFrame([flight.model_dump()]))[0])


@app.post("/predict_many")
async def predict_many(flights: list[Flight]) -> list[int]:
    """Say which of the flights are late."""
    answer: list[int] = model.predict(pd.DataFrame([flight.model_dump() for flight in flights])).tolist()
    return answer
