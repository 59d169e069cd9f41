import json
import math
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from model_envelope.inference.observations import BINS, QUANTILES, observe
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s


def column(value, name="value"):
    return observe(value)["columns"][name]


def test_numbers_have_quantiles_and_a_histogram():
    found = column(pd.Series(range(101), dtype="Int64"))
    assert (found["count"], found["nulls"], found["distinct"]) == (101, 0, 101)
    assert (found["min"], found["max"], found["mean"]) == (0, 100, 50.0)
    assert found["std"] == 29.1547594742
    assert found["quantiles"] == [[percent, float(percent)] for percent in QUANTILES]
    assert found["histogram"]["edges"] == [5.0 * at for at in range(BINS + 1)]
    assert found["histogram"]["counts"] == [5] * (BINS - 1) + [6]


def test_nulls_are_counted_apart():
    found = column(pd.Series([1.0, None, 3.0, float("nan")]))
    assert (found["count"], found["nulls"], found["distinct"], found["mean"]) == (4, 2, 2, 2.0)
    assert column(pd.Series([None, None], dtype="Float64")) == {"count": 2, "nulls": 2}


def test_infinities_are_counted_and_left_out():
    found = column(np.array([1.0, np.inf, -np.inf]))
    assert (found["infinite"], found["min"], found["max"], found["distinct"]) == (2, 1.0, 1.0, 3)
    assert column(np.array([np.inf])) == {"count": 1, "nulls": 0, "distinct": 1, "infinite": 1}


def test_quantiles_are_those_of_numpy():
    values = np.random.default_rng(3).normal(size=1234)
    found = column(values)["quantiles"]
    assert [value for _, value in found] == pytest.approx(np.percentile(values, QUANTILES), rel=1e-11)


def test_a_histogram_counts_every_value_once_whatever_the_edges_are_rounded_to():
    values = np.random.default_rng(4).uniform(1e15, 1e15 + 3, size=5000)
    found = column(values)["histogram"]
    assert sum(found["counts"]) == 5000
    assert len(found["edges"]) == BINS + 1


def test_a_constant_has_one_bin():
    assert column(np.full(7, 2.5))["histogram"] == {"edges": [2.5, 2.5], "counts": [7]}


def test_very_large_numbers_overflow_nothing():
    found = column(np.array([-1.7e308, 1.7e308]))
    assert (found["mean"], found["std"]) == (0.0, 1.7e308)
    assert found["histogram"]["edges"][10] == 0.0
    whole = column([2**62, -(2**62), 0])
    assert (whole["max"], whole["quantiles"][5]) == (2**62, [50, 0.0])


def test_numbers_have_twelve_digits():
    found = column(np.array([1 / 3, 2 / 3, 0.123456789012345]))
    assert found["min"] == 0.123456789012
    assert found["mean"] == 0.374485596337


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_makes_no_difference(seed):
    values = np.random.default_rng(5).lognormal(sigma=8, size=3000)
    shuffled = np.random.default_rng(seed).permutation(values)
    assert json.dumps(observe(values)) == json.dumps(observe(shuffled))


def test_texts_have_their_most_frequent_values():
    found = column(pd.Series(["b", "a", "b", None, "c"], dtype="category"))
    assert found == {"count": 5, "nulls": 1, "distinct": 3, "top": [["b", 2], ["a", 1], ["c", 1]]}
    assert len(column([str(at) for at in range(50)])["top"]) == 10
    assert column([True, False, True])["top"] == [[True, 2], [False, 1]]


def test_dates_and_lists():
    found = column(pd.Series([date(2026, 1, 31), date(2025, 1, 1), None]))
    assert found == {"count": 3, "nulls": 1, "distinct": 2, "min": "2025-01-01", "max": "2026-01-31"}
    assert column(pd.Series([[1, 2], [3]]))["lengths"]["max"] == 2
    assert column(pd.Series([b"a", b"b"])) == {"count": 2, "nulls": 0}


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}),
        np.array([(1, "x"), (2, "y")], dtype=[("a", "i8"), ("b", "U1")]),
    ],
    ids=["pandas", "polars", "pyarrow", "numpy"],
)
def test_tables_of_all_libraries_alike(value):
    found = observe(value, type_of(value))
    assert found["rows"] == 2
    assert found["columns"]["a"]["mean"] == 1.5
    assert found["columns"]["b"]["top"] == [["x", 1], ["y", 1]]


def test_columns_are_called_as_json_calls_them():
    frame = pd.DataFrame([[1, "x"]], columns=["a", "a"])
    kind = s.Table((s.Column("a", s.Scalar("int64"), "int64"), s.Column("a#2", s.Scalar("string"), "str", key="a")))
    assert list(observe(frame, kind)["columns"]) == ["a", "a#2"]


def test_arrays_lists_and_scalars():
    found = observe(np.array([[1, 2], [3, 4]]))
    assert (found["rows"], found["columns"]["1"]["mean"]) == (2, 3.0)
    assert observe(pl.Series([1.0, None]))["columns"]["value"]["nulls"] == 1
    assert observe([1, 2, 3])["rows"] == 3
    assert observe("text")["columns"]["value"]["top"] == [["text", 1]]


@pytest.mark.parametrize(
    "value", [None, {"a": 1}, [], [[1]], np.zeros((2, 2, 2)), np.zeros((0, 2)), np.array(1.0), pd.DataFrame(), object()]
)
def test_nothing_is_observed_of_other_things(value):
    assert observe(value) is None


def test_mean_and_deviation_are_exact_sums():
    values = [1e16, 1.0, -1e16] * 1000
    assert column(np.array(values))["mean"] == float(f"{math.fsum(values) / 3000:.12g}")
