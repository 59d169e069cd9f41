import dataclasses
import enum
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature
from model_envelope.runtime.registry import register_type

INTEGER = s.Scalar("int64")
FLOAT = s.Scalar("float64")
TEXT = s.Scalar("string")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, INTEGER),
        (True, s.Scalar("bool")),
        (1.5, FLOAT),
        (float("nan"), s.Scalar("float64", non_finite=True)),
        ("a", TEXT),
        (b"a", s.Scalar("bytes")),
        (None, s.Scalar("null", nullable=True)),
        (date(2020, 1, 1), s.Scalar("date")),
        (datetime(2020, 1, 1), s.Scalar("datetime")),  # noqa: DTZ001  a naive one is a type of its own
        (datetime(2020, 1, 1, tzinfo=UTC), s.Scalar("datetime", timezone="")),
        (Decimal(1), s.Scalar("decimal")),
        (Colour.RED, s.Choice(("red",), enum=f"{__name__}:Colour")),
        ([1, 2], s.List(INTEGER)),
        ([1, 2.5], s.List(FLOAT)),
        ([1, None], s.List(s.Scalar("int64", nullable=True))),
        ([], s.List(s.Any())),
        ((1, "a"), s.Tuple((INTEGER, TEXT))),
        ({"a": 1}, s.Record((s.Field("a", INTEGER),))),
        ([{"a": 1}, {"a": 2, "b": "x"}], s.List(s.Record((s.Field("a", INTEGER), s.Field("b", TEXT, required=False))))),
        ({1: "a"}, s.Map(INTEGER, TEXT)),
        ({1, 2}, s.Set(INTEGER)),
        (Point(1.0), s.Record((s.Field("x", FLOAT),), cls=f"{__name__}:Point", style=s.Style.DATACLASS)),
        (np.float32(1), s.Scalar("float32")),
        (np.str_("a"), TEXT),
        (np.zeros((3, 2)), s.Tensor("float64", (None, 2), batch=0)),
        (np.array(["a"], dtype=object), s.Tensor("string", (None,), batch=0)),
    ],
)
def test_the_type_of_a_value(value, kind):
    assert type_of(value) == kind


def column(values, dtype=None):
    return type_of(pd.DataFrame({"c": pd.Series(values, dtype=dtype)})).columns[0]


@pytest.mark.parametrize(
    ("values", "dtype", "kind", "storage"),
    [
        ([1, 2], None, INTEGER, "int64"),
        ([1, None], "Int64", s.Scalar("int64", nullable=True), "Int64"),
        ([1, 2], "Int64", s.Scalar("int64", nullable=True), "Int64"),
        ([1.5, None], None, s.Scalar("float64", nullable=True), "float64"),
        ([True, False], None, s.Scalar("bool"), "bool"),
        (["b", "a"], "category", s.Choice(("a", "b")), "category"),
        (["b", None], "category", s.Choice(("b",), nullable=True), "category"),
        (["2020-01-01", "2020-01-02"], "string", s.Scalar("string", nullable=True), "string"),
        (["a", 1.5], object, None, "signature.mixed-types"),
        ([None, None], object, None, "signature.empty-column"),
        ([[1], [2, 3]], object, s.List(INTEGER), "object"),
    ],
)
def test_the_type_of_a_column(values, dtype, kind, storage):
    if kind is None:
        with pytest.raises(InvalidSignature) as caught:
            column(values, dtype)
        assert caught.value.code == storage
        assert caught.value.problems[0].path == "$.c"
        return
    found = column(values, dtype)
    assert (found.type, found.storage) == (kind, storage)


def test_strings_that_look_like_dates_stay_strings():
    assert column(["2020-01-01"]).type == TEXT


def test_all_rows_are_read_and_the_odd_one_is_named():
    with pytest.raises(InvalidSignature) as caught:
        column([*["a"] * 1000, 7], object)
    assert "int64 (row 1000)" in caught.value.problems[0].found


def test_all_bad_columns_are_told_at_once():
    frame = pd.DataFrame({"a": pd.Series([1, "x"], dtype=object), "b": [None, None], "c": [1, 2]})
    with pytest.raises(InvalidSignature) as caught:
        type_of(frame)
    assert [problem.path for problem in caught.value.problems] == ["$.a", "$.b"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (object(), "signature.unknown-type"),
        (2**70, "signature.integer-range"),
        ([1, "a"], "signature.mixed-types"),
        (np.zeros(2, dtype="longdouble"), "signature.unknown-type"),
    ],
)
def test_what_a_signature_cannot_say_is_refused(value, code):
    with pytest.raises(InvalidSignature) as caught:
        type_of(value)
    assert caught.value.code == code


@attrs.define
class Case:
    _inner: int


class Form(pydantic.BaseModel):
    size: float = pydantic.Field(alias="Size")


class Pair(NamedTuple):
    left: int
    right: str


class Range:
    def __init__(self, low, high=0.0):
        self.low, self.high = low, high


class Doubling:
    def __init__(self, size):
        self.size = 2 * size


class Ratio:
    def __init__(self, text):
        self.text = text


register_type(
    Ratio,
    {"over": int, "under": int},
    make=lambda over, under: Ratio(f"{over}/{under}"),
    read=lambda ratio: dict(zip(("over", "under"), map(int, ratio.text.split("/")), strict=True)),
)


@pytest.mark.parametrize(
    ("value", "field", "style"),
    [
        (Point(1.0), s.Field("x", FLOAT), s.Style.DATACLASS),
        (Case(1), s.Field("inner", INTEGER), s.Style.ATTRS),
        (Form(Size=1.5), s.Field("Size", FLOAT), s.Style.PYDANTIC),
        (Pair(1, "a"), s.Field("left", INTEGER), s.Style.NAMEDTUPLE),
    ],
)
def test_records_are_of_the_style_of_their_class(value, field, style):
    found = type_of(value)
    assert (found.style, found.fields[0]) == (style, field)
    assert found.cls == f"{__name__}:{type(value).__name__}"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([(1,), (2, 3)], s.List(s.List(INTEGER, variadic=True))),
        ([(1,), (2, 3), ()], s.List(s.List(INTEGER, variadic=True))),
        ([[], [1]], s.List(s.List(INTEGER))),
        ([[], []], s.List(s.List(s.Any()))),
        ([{1: "a"}, {2: None}], s.List(s.Map(INTEGER, s.Scalar("string", nullable=True)))),
        ([{1}, {2}], s.List(s.Set(INTEGER))),
        (1j, s.Scalar("complex128")),
        (Decimal("NaN"), s.Scalar("decimal", non_finite=True)),
        (pd.Period("2020-01", "M"), s.Scalar("period", unit="M")),
        (
            pd.Interval(1, 2, "left"),
            s.Record((s.Field("left", INTEGER), s.Field("right", INTEGER)), cls="left", style=s.Style.INTERVAL),
        ),
        ([np.zeros((2, 3)), np.zeros((4, 3))], s.List(s.Tensor("float64", (None, 3), batch=0))),
        ([np.zeros((2, 3)), np.zeros((4, 5))], s.List(s.Tensor("float64", (None, None), batch=0))),
        ([np.array(["a"]), np.array(["abc"])], s.List(s.Tensor("string", (None,), batch=0, storage="<U3"))),
    ],
)
def test_the_type_of_what_differs(value, kind):
    assert type_of(value) == kind


def test_tables_of_the_same_columns_are_one_type():
    one, other = pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1, None]})
    found = type_of([one, other])
    assert found.item.columns[0].type == s.Scalar("int64", nullable=True)
    with pytest.raises(InvalidSignature):
        type_of([one, pl.DataFrame({"b": [1]})])
    series = type_of([pl.Series("x", [1]), pl.Series("y", [None, 1])])
    assert series.item == s.Series(s.Scalar("int64", nullable=True), "Int64", flavor=s.Flavor.POLARS)


@pytest.mark.parametrize(
    "value", [[1, "a"], [np.zeros(2), np.zeros((2, 2))], [np.zeros(2), np.zeros(2, "f4")], [{1: 2}, {"a": 2}]]
)
def test_what_does_not_go_together_is_refused(value):
    with pytest.raises(InvalidSignature) as caught:
        type_of(value)
    assert caught.value.code == "signature.mixed-types"


def test_the_error_of_an_unknown_class_shows_the_lines_that_register_it():
    class Order:
        def __init__(self, basket):
            self.price, self.name, self._secret = 1.5, basket, 0

    with pytest.raises(InvalidSignature) as caught:
        type_of({"order": Order("a")})
    assert caught.value.problems[0].path == "$.order"
    assert caught.value.hint.splitlines()[-3:] == [
        '  me.register_type(Order, {"price": float, "name": str},'.replace("Order", Order.__qualname__),
        f"      make=lambda **fields: {Order.__qualname__}(...),",
        '      read=lambda value: {"price": value.price, "name": value.name})',
    ]


def test_a_plain_class_is_a_record_where_it_can_be_made_of_what_it_holds():
    assert type_of(Range(1, 2.5)) == s.Record(
        (s.Field("low", INTEGER), s.Field("high", FLOAT)), cls=f"{__name__}:Range", style=s.Style.OBJECT
    )
    with pytest.raises(InvalidSignature, match="a signature has no type for it"):
        type_of(Doubling(2))


def test_a_registered_class_is_a_record_of_its_fields():
    found = type_of([Ratio("3/4")])
    assert found.item == s.Record(
        (s.Field("over", INTEGER), s.Field("under", INTEGER)), cls=f"{__name__}:Ratio", style=s.Style.REGISTERED
    )


def test_what_has_no_type_is_told():
    with pytest.raises(InvalidSignature) as caught:
        type_of(pl.LazyFrame({"a": [1]}))
    assert "collect()" in caught.value.hint


def test_lists_without_end_are_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(InvalidSignature) as caught:
        type_of(endless)
    assert caught.value.code == "signature.too-deep"


def test_no_library_is_imported_to_recognise_a_value():
    code = (
        "import sys; from model_envelope.inference.values import type_of; type_of([1]);"
        "print([name for name in ('numpy', 'pandas', 'polars', 'pyarrow', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
