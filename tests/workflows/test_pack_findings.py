"""What packing finds out about a model and seals: behaviour, knowledge, observations."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from model_envelope.foundation.progress import Note
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidPayload
from model_envelope.runtime.predicting import Predictor
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.pack import Label, SampleFile, pack

pytestmark = pytest.mark.slow

FRAME = pd.DataFrame({"origin": ["EWR", "JFK", "LGA"] * 10, "delay": np.linspace(-5, 60, 30)})


@pytest.fixture
def late(tmp_path):
    """A pipeline whose encoder refuses what it has not seen, and its samples."""
    steps = make_column_transformer((OneHotEncoder(), ["origin"]), ("passthrough", ["delay"]))
    model = make_pipeline(steps, LogisticRegression()).fit(FRAME, ["no", "yes"] * 15)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    FRAME.to_parquet(tmp_path / "samples.parquet")
    return tmp_path


def packed(folder, into="out", *, samples="samples.parquet", report=lambda event: None):
    return pack(
        folder / "model.pkl",
        samples=SampleFile(folder / samples, samples),
        into=folder / into,
        label=Label("late"),
        lock=False,
        report=report,
    )


def test_what_the_model_refuses_is_refused_by_name(late):
    predictor = Predictor.open(packed(late).path)
    predict = predictor.methods["predict"]
    assert predict.signature.row_wise is s.Answer.YES
    assert predict.signature.deterministic is s.Answer.YES
    assert predict.signature.tolerance == s.Tolerance()
    with pytest.raises(InvalidPayload) as refused:
        predict.answer({"X": [{"origin": "EWR", "delay": 1.0}, {"origin": "SFO", "delay": 2.0}]})
    (problem,) = refused.value.problems
    assert problem.path == "$.X[1].origin"
    assert '"EWR", "JFK", "LGA"' in problem.expected


def test_the_same_samples_give_the_same_observations_and_digest(late):
    one, other = packed(late, "one"), packed(late, "other")
    assert one.digest == other.digest
    observed = json.loads((one.path / "observations.json").read_text())["predict"]
    assert observed["inputs"]["X"]["columns"]["origin"]["top"] == [["EWR", 10], ["JFK", 10], ["LGA", 10]]
    assert observed["inputs"]["X"]["columns"]["delay"]["quantiles"][5] == [50, 27.5]
    assert observed["model"]["accepted"] == {"origin": ["EWR", "JFK", "LGA"]}


def test_what_was_tried_in_part_is_said(late):
    pd.concat([FRAME] * 50, ignore_index=True).to_parquet(late / "many.parquet")
    said = []
    packed(late, samples="many.parquet", report=said.append)
    notes = [event.text for event in said if isinstance(event, Note)]
    assert "`predict`: whether rows are independent was tried on 1,000 of the 1,500 sample rows" in notes


def test_the_envelope_of_a_model_that_is_fitted_anew_with_fewer_categories_is_no_replacement(late, envelope):
    old = packed(late)
    fewer = FRAME[FRAME["origin"] != "LGA"]
    steps = make_column_transformer((OneHotEncoder(), ["origin"]), ("passthrough", ["delay"]))
    (late / "model.pkl").write_bytes(
        pickle.dumps(make_pipeline(steps, LogisticRegression()).fit(fewer, ["no", "yes"] * 10))
    )
    fewer.to_parquet(late / "samples.parquet")
    new = packed(late)
    shown = envelope("diff", old.path, new.path, code=3).stdout
    assert '! predict $.X[*].origin: was one of "EWR", "JFK", "LGA", is one of "EWR", "JFK"' in shown
    assert '    {"X": [{"origin": "LGA", "delay": 1}]}' in shown
    assert read_envelope(new.path).signature.methods.keys() == {"predict", "predict_proba"}
