"""What the probe finds out by asking again: rows, order, chance and rounding."""

import itertools
import random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from model_envelope.inference import behaviour, rows
from model_envelope.inference.behaviour import Asked, Behaviour, behaviour_of, distance, rows_of, timed
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import ModelFailed

YES, NO, UNKNOWN = s.Answer.YES, s.Answer.NO, s.Answer.UNKNOWN
CLOSE = s.Tolerance(s.Closeness.CLOSE, rtol=1e-6, atol=1e-9)
SHAPE = s.Tolerance(s.Closeness.SHAPE)
FRAME = pd.DataFrame({"a": np.arange(20.0), "b": ["x", "y"] * 10})


def tried(function, value, tolerance=CLOSE, seconds=0.0, **others):
    def ask(arguments):
        calls.append(rows.count(arguments["x"]))
        return function(**arguments)

    def encode(answer):
        return answer.tolist() if hasattr(answer, "tolist") else answer

    calls = []
    arguments = {"x": value, **others}
    found = behaviour_of(Asked(arguments, function(**arguments), ask, encode, seconds), tolerance)
    return found, calls


def test_a_method_that_looks_at_each_row_alone():
    found, calls = tried(lambda x: x["a"].to_numpy() * 2, FRAME)
    assert found == Behaviour(YES, YES, CLOSE)
    assert calls == [1, 1, 9, 9]  # once over all rows: two alone, the rest in two parts


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x["a"] - x["a"].mean()).to_numpy(),
        lambda x: x["a"].cumsum().to_numpy(),
        lambda x: x["a"].rank().to_numpy(),
        lambda x: x["a"].shift(fill_value=0.0).to_numpy(),
        lambda x: np.arange(float(len(x))),
        lambda x: x["a"].to_numpy() + len(x) % 2,
        lambda x: x["a"].sum(),
        lambda x: x["a"].to_numpy()[:3],
    ],
    ids=["mean", "running sum", "rank", "the row before", "row numbers", "size of the batch", "a sum", "some rows"],
)
def test_a_method_whose_rows_depend_on_each_other(function):
    found, _ = tried(function, FRAME)
    assert found == Behaviour(NO, YES, CLOSE)


def test_a_method_that_refuses_single_rows_is_not_row_wise():
    def function(x):
        if len(x) < 5:
            raise ModelFailed("too few", code="model.raised")
        return x["a"].to_numpy()

    assert tried(function, FRAME)[0].row_wise is NO


def test_chance_is_sealed_as_such():
    generator = random.Random(1)
    found, calls = tried(lambda x: [generator.random() for _ in range(len(x))], FRAME)
    assert found == Behaviour(UNKNOWN, NO, SHAPE)
    assert calls == [1, 20]  # the first part differs; then everything once more


def test_a_method_that_counts_its_calls_is_not_deterministic():
    count = itertools.count()
    found, _ = tried(lambda x: float(next(count)), 1.5)
    assert found == Behaviour(UNKNOWN, NO, SHAPE)


def test_without_rows_nothing_is_known_of_them():
    found, calls = tried(lambda x, k: x * k, 1.5, k=2)
    assert found == Behaviour(UNKNOWN, YES, CLOSE)
    assert calls == [None]
    assert tried(lambda x: x["a"].to_numpy(), FRAME[:1])[0].row_wise is UNKNOWN


def test_rounding_widens_the_tolerance():
    def function(x):
        return x["a"].to_numpy() * (1 + 2e-6 * (len(x) < 20))

    found, _ = tried(function, FRAME)
    assert (found.row_wise, found.tolerance) == (YES, s.Tolerance(s.Closeness.CLOSE, rtol=1e-4, atol=1e-9))
    small, _ = tried(lambda x: x["a"].to_numpy() * (1 + 1e-9 * (len(x) < 20)), FRAME)
    assert small.tolerance == CLOSE
    large, _ = tried(lambda x: x["a"].to_numpy() * (1 + 1e-3 * (len(x) < 20)), FRAME)
    assert large.row_wise is NO


def test_what_is_exact_has_to_agree_exactly():
    exact = s.Tolerance()
    assert tried(lambda x: list(x["b"]), FRAME, exact)[0] == Behaviour(YES, YES, exact)
    assert tried(lambda x: [len(x)] * len(x), FRAME, exact)[0] == Behaviour(NO, YES, exact)


def test_columns_of_an_answer_count_row_by_row():
    found, _ = tried(lambda x: {"double": [2 * one for one in x], "same": list(x)}, [1.0, 2.0, 3.0])
    assert found.row_wise is YES


def test_many_rows_are_tried_in_part_and_it_is_said():
    many = pd.DataFrame({"a": np.arange(25_000.0)})
    found, calls = tried(lambda x: x["a"].to_numpy() + 1, many)
    assert (found.row_wise, sum(calls)) == (YES, 1000)
    assert found.notes == ("whether rows are independent was tried on 1,000 of the 25,000 sample rows",)
    listed, _ = tried(lambda x: (x["a"] + 1).tolist(), many)
    assert listed.row_wise is YES
    assert tried(lambda x: {"a": 1.0}, many)[0].row_wise is NO


def test_a_slow_model_is_asked_fewer_rows():
    found, calls = tried(lambda x: x["a"].to_numpy(), FRAME, seconds=behaviour.SECONDS * 4)
    assert (found.row_wise, sum(calls)) == (YES, 8)
    assert "8 of the 20" in found.notes[0]


def test_parameters_beside_a_table_stay_whole():
    found, _ = tried(lambda x, weights: x["a"].to_numpy() * sum(weights), FRAME, weights=[0.5] * 20)
    assert found.row_wise is YES


@pytest.mark.parametrize(
    "value",
    [
        np.arange(12.0).reshape(6, 2), pl.DataFrame({"a": range(6)}), pl.Series(range(6)), pa.table({"a": range(6)}),
        pd.Series(range(6)), sp.csr_matrix(np.eye(6)), sp.coo_matrix(np.eye(6)), list(range(6)), pa.array(range(6)),
    ],
    ids=["numpy", "polars", "polars series", "pyarrow", "series", "csr", "coo", "list", "pyarrow array"],
)  # fmt: skip
def test_rows_of_every_library(value):
    assert rows.count(value) == 6
    part = rows.take(value, [4, 1])
    assert type(part) is type(value)
    assert rows.count(part) == 2
    plain = lambda one: np.asarray(one.todense() if sp.issparse(one) else one)  # noqa: E731
    assert np.array_equal(plain(part), plain(value)[[4, 1]])


def test_what_has_no_rows():
    assert [rows.count(value) for value in (None, 1, "text", {"a": 1}, np.array(1.0))] == [None] * 5
    assert rows.batches({"k": 1}) == ({}, None)


def test_an_index_with_a_name_is_kept_and_another_counted_anew():
    named = FRAME.set_index("b")
    assert rows.take(named, [3]).index.tolist() == ["y"]
    assert rows.take(FRAME, [3]).index.tolist() == [0]


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([1.0, {"a": 2.0}], [1.0, {"a": 2.0}], 0.0),
        (2.0, 2.2, pytest.approx(0.1)),
        (0.0, 1e-10, 0.0),
        (0.0, 1.0, float("inf")),
        (1, 1.0, None),
        ("a", "b", None),
        ([1.0], [1.0, 2.0], None),
        ([1.0, "a"], [1.0, "b"], None),
        ({"a": 1.0}, {"b": 1.0}, None),
    ],
)
def test_how_far_answers_are_apart(one, other, apart):
    assert distance(one, other, CLOSE) == apart


def test_rows_of_an_answer():
    assert rows_of({"a": [1, 2]}, 2) == [{"a": 1}, {"a": 2}]
    assert [rows_of(answer, 2) for answer in (1.0, {}, {"a": 1}, {"a": [1]}, [1])] == [None] * 5


def test_calls_are_timed():
    found, seconds = timed(lambda: 7)
    assert found == 7
    assert 0 <= seconds < 5
