"""Statistics of columns, batch by batch, beside those of the training samples."""

import math
import statistics

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.scoring.observing import EVERY, FIRST, Column, Observer, baselines

NUMBERS = st.lists(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=20), min_size=1, max_size=5)


@given(NUMBERS)
def test_batches_merge_into_the_statistics_of_all(batches):
    column = Column()
    for values in batches:
        column.see(pa.array(values, pa.float64()), look=True)
    found = column.to_document()
    everything = [value for values in batches for value in values]
    present = [value for value in everything if value is not None]
    assert (found["count"], found["nulls"]) == (len(everything), len(everything) - len(present))
    if present:
        assert math.isclose(found["mean"], statistics.fmean(present), rel_tol=1e-9, abs_tol=1e-6)
        assert math.isclose(found["std"], statistics.pstdev(present), rel_tol=1e-6, abs_tol=1e-4)
        assert (found["min"], found["max"]) == pytest.approx((min(present), max(present)))


KINDS = [
    (pa.float64(), st.floats(-1e6, 1e6) | st.sampled_from([math.inf, math.nan]) | st.none()),
    (pa.string(), st.sampled_from(["a", "b", "z", None])),
    (pa.date32(), st.dates() | st.none()),
]


@given(st.data())
def test_what_was_seen_apart_merges_into_what_one_would_have_seen(data):
    kind, values = data.draw(st.sampled_from(KINDS))
    batches = data.draw(st.lists(st.lists(values, max_size=20), min_size=1, max_size=5))
    baseline = {"min": -10.0, "max": 10.0, "distinct": 2, "top": [["a", 5], ["b", 2]]}
    whole, merged = Column(baseline), Column(baseline)
    for number, array in enumerate(pa.array(batch, kind) for batch in batches):
        whole.see(array, look=number != 1)
        part = Column(baseline)
        part.see(array, look=number != 1)
        merged.merge(part)
    expected, found = whole.to_document(), merged.to_document()
    for name in ("mean", "std"):
        assert found.pop(name, 0.0) == pytest.approx(expected.pop(name, 0.0), rel=1e-9, abs=1e-4)
    assert found == expected


def test_a_column_with_very_many_values_says_so_after_merging_too(monkeypatch):
    monkeypatch.setattr("model_envelope.scoring.observing.DISTINCT", 3)
    merged = Column()
    for values in (["a", "b"], ["b", "c", "d"]):
        part = Column()
        part.see(pa.array(values), look=True)
        merged.merge(part)
    found = merged.to_document()
    assert (found["distinct"], found["distinct_at_least"]) == (3, True)


def test_what_lies_outside_of_the_samples_is_told_beside_them():
    numbers = Column({"min": 0.0, "max": 10.0, "mean": 5.0})
    numbers.see(pa.array([1.0, 11.0, -1.0, 5.0]), look=True)
    assert numbers.to_document()["outside_share"] == 0.5
    assert numbers.to_document()["baseline"] == {"min": 0.0, "max": 10.0, "mean": 5.0}
    words = Column({"distinct": 2, "top": [["a", 5], ["b", 2]]})
    words.see(pa.array(["a", "c", None, "b"]), look=True)
    assert words.to_document()["unknown_share"] == 0.25
    assert words.to_document()["top"] == [["a", 1], ["b", 1], ["c", 1]]


def test_categories_are_not_called_unknown_where_the_samples_had_more_than_are_listed():
    words = Column({"distinct": 50, "top": [["a", 5], ["b", 2]]})
    words.see(pa.array(["z"]), look=True)
    assert "unknown_share" not in words.to_document()


def test_nulls_nan_and_infinities_are_counted_apart():
    column = Column()
    column.see(pa.array([1.0, None, math.nan, math.inf]), look=True)
    found = column.to_document()
    assert (found["nulls"], found["infinite"], found["max"]) == (2, 1, 1.0)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [2]]),
        pa.array([True, None]),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([b"x"]),
        pa.array([0], pa.timestamp("s")),
        pa.array([0], pa.duration("s")),
        pa.array([None]),
        pa.array([2**64 - 1], pa.uint64()),
        pa.array([], pa.float64()),
        pa.array([None], pa.float64()),
    ],
)
def test_columns_of_any_type_are_counted(array):
    column = Column()
    column.see(array, look=True)
    assert column.to_document()["count"] == len(array)


def test_all_rows_are_counted_and_later_batches_looked_at_now_and_then():
    observer = Observer({}, {"x": "x"})
    batches = FIRST + 3 * EVERY
    for _ in range(batches):
        observer.see(pa.RecordBatch.from_pydict({"x": [1, None]}))
    found = observer.to_document()["x"]
    assert (found["count"], found["nulls"]) == (2 * batches, batches)
    assert found["observed"] < found["count"]


def test_baselines_are_found_by_column():
    document = {
        "inputs": {"X": {"rows": 1, "columns": {"a": {"count": 1}}}, "k": {"columns": {"value": {"count": 2}}}},
        "answers": {"columns": {"value": {"count": 3}}},
    }
    assert baselines(document, "inputs")["a"] == {"count": 1}
    assert baselines(document, "inputs")["k"] == {"count": 2}
    assert baselines(document, "answers") == {"value": {"count": 3}}
