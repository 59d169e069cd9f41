"""From samples through the sealed envelope to a request: what users of other tools have lost on this road."""

import json
import pickle
import sys

import pandas as pd
import pytest
from models import write_module

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json
from model_envelope.runtime.codec.csv import decode_csv, write_sheet
from model_envelope.runtime.errors import InvalidPayload
from model_envelope.runtime.predicting import Predictor
from model_envelope.workflows.pack import Label, SampleFile, pack

ECHO = """
    import math
    import pandas as pd

    class Echo:
        def predict(self, X: pd.DataFrame, factor: float = 2.0) -> list[float]:
            return [math.nan if pd.isna(rooms) else float(rooms) * factor for rooms in X["rooms"]]

        def describe(self, X: pd.DataFrame) -> dict[str, str]:
            return {name: str(dtype) for name, dtype in X.dtypes.items()}
"""
FRAME = pd.DataFrame(
    {
        "rooms": pd.array([3, None, 5], "Int64"),
        "sold": ["2020-01-31", "2020-02-29", "unknown"],
        "kind": pd.Categorical(["flat", "house", "flat"], categories=["flat", "house", "boat"], ordered=True),
        "seen": pd.to_datetime(["2020-01-31T12:00", None, "2020-02-01T00:00"]).tz_localize("Europe/Berlin"),
        "scores": [[0.5], [], [1.5, 2.5]],
        "price": [1.5, 2.0, 3.25],
    }
)


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A model with two methods, packed with a frame of what is usually lost, and opened as a service opens it."""
    folder = tmp_path_factory.mktemp("echo")
    write_module(folder, "echoing", ECHO)
    sys.path.insert(0, str(folder))
    try:
        from echoing import Echo

        (folder / "model.pkl").write_bytes(pickle.dumps(Echo()))
    finally:
        sys.path.remove(str(folder))
        del sys.modules["echoing"]
    FRAME.to_pickle(folder / "samples.pkl")
    packed = pack(
        folder / "model.pkl",
        samples=SampleFile(folder / "samples.pkl", "samples.pkl"),
        methods=("predict", "describe"),
        into=folder,
        label=Label("echo"),
        lock=False,
    )
    return Predictor.open(packed.path)


def rows(echo):
    codec = echo.methods["describe"].codec
    return codec.encode_arguments({"X": FRAME})["X"]


def columns(echo):
    return {column.name: column for column in echo.methods["predict"].signature.parameters[0].type.columns}


def test_nullable_integers_keep_the_schema_and_stay_integers(echo):
    assert columns(echo)["rooms"] == s.Column("rooms", s.Scalar("int64", nullable=True), "Int64")
    assert [row["rooms"] for row in rows(echo)] == [3, None, 5]
    assert echo.methods["describe"].answer({"X": rows(echo)})["rooms"] == "Int64"
    with pytest.raises(InvalidPayload, match=r"\$.X\[0\].rooms: found 3.0"):
        echo.methods["describe"].answer({"X": [{**rows(echo)[0], "rooms": 3.0}]})


def test_strings_that_look_like_dates_are_not_turned_into_dates(echo):
    assert columns(echo)["sold"].type == s.Scalar("string")
    only_dates = rows(echo)[:2]
    assert echo.methods["describe"].answer({"X": only_dates})["sold"] == str(FRAME.dtypes["sold"])


def test_categories_order_and_those_that_no_row_has_are_kept(echo):
    assert columns(echo)["kind"].type == s.Choice(("flat", "house", "boat"), ordered=True)
    assert echo.methods["describe"].answer({"X": [{**rows(echo)[0], "kind": "boat"}]})["kind"] == "category"
    with pytest.raises(InvalidPayload, match='expected one of "flat", "house", "boat"'):
        echo.methods["describe"].answer({"X": [{**rows(echo)[0], "kind": "tent"}]})


def test_time_zones_are_kept(echo):
    assert columns(echo)["seen"].type.timezone == "Europe/Berlin"
    assert rows(echo)[0]["seen"] == "2020-01-31T11:00:00Z"
    assert echo.methods["describe"].answer({"X": rows(echo)})["seen"] == str(FRAME.dtypes["seen"])


def test_columns_with_gaps_are_optional_and_no_others(echo):
    optional = {name for name, column in columns(echo).items() if column.type.nullable}
    assert optional == {"rooms", "seen"}
    with pytest.raises(InvalidPayload, match=r"\$.X\[1\].price: found null"):
        echo.methods["predict"].answer({"X": [rows(echo)[0], {**rows(echo)[1], "price": None}]})


def test_lists_in_columns_have_a_type(echo):
    assert columns(echo)["scores"].type == s.List(s.Scalar("float64"))
    with pytest.raises(InvalidPayload, match=r"\$.X\[0\].scores\[1\]: found the string"):
        echo.methods["predict"].answer({"X": [{**rows(echo)[0], "scores": [0.5, "high"]}]})


def test_json_and_csv_make_the_same_table():
    frame = FRAME.drop(columns="scores")  # CSV has no lists
    codec = MethodCodec(s.Method((s.Parameter("X", type_of(frame)),), s.Any()), {})
    body = codec.encode_arguments({"X": frame})
    sheet = write_sheet(list(frame), [list(row.values()) for row in body["X"]])
    (from_json,), (from_csv,) = codec.decode(body).positional, decode_csv(codec, sheet).positional
    pd.testing.assert_frame_equal(from_json, frame)
    pd.testing.assert_frame_equal(from_csv, frame)


def test_nan_in_an_answer_is_valid_json(echo):
    text = dump_json(echo.methods["predict"].answer({"X": rows(echo)}))
    assert json.loads(text, parse_constant=pytest.fail) == [6.0, "NaN", 10.0]


def test_defaults_are_kept_and_may_be_left_out(echo):
    table, factor = echo.methods["predict"].signature.parameters
    assert (table.required, factor.required, factor.default) == (True, False, 2.0)
    assert echo.methods["predict"].answer({"X": rows(echo)[:1]}) == [6.0]
    assert echo.methods["predict"].answer({"X": rows(echo)[:1], "factor": 3.0}) == [9.0]


def test_two_methods_of_one_model_are_sealed_each_with_its_own_signature(echo):
    assert list(echo.methods) == ["predict", "describe"]
    assert [len(method.signature.parameters) for method in echo.methods.values()] == [2, 1]
    assert echo.methods["describe"].signature.returns == s.Map(s.Scalar("string"), s.Scalar("string"))
