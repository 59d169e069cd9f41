import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.runtime.comparing import differences
from model_envelope.runtime.signature import Closeness, Tolerance

EXACT = Tolerance()
CLOSE = Tolerance(Closeness.CLOSE, rtol=1e-6)
SHAPE = Tolerance(Closeness.SHAPE)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES, st.sampled_from([EXACT, CLOSE, SHAPE]))
def test_everything_agrees_with_itself(value, tolerance):
    assert differences(value, value, tolerance) == ()


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "paths"),
    [
        ([1.0], [1.0 + 1e-9], EXACT, ["$[0]"]),
        ([1.0], [1.0 + 1e-9], CLOSE, []),
        ([1.0], [1.001], CLOSE, ["$[0]"]),
        ([1], [2], CLOSE, ["$[0]"]),
        ([True], [1], CLOSE, ["$[0]"]),
        ([1], ["1"], SHAPE, ["$[0]"]),
        ([1.0, 2.0], [5.0, 6.0], SHAPE, []),
        ([1.0, 2.0], [5.0], SHAPE, ["$"]),
        ({"a": [1]}, {"b": [1]}, EXACT, ["$.a", "$.b"]),
        ([None], [0.0], EXACT, ["$[0]"]),
        ("a", "b", CLOSE, ["$"]),
    ],
)
def test_differences_are_named_by_path(expected, found, tolerance, paths):
    assert sorted(problem.path for problem in differences(expected, found, tolerance)) == paths


def test_how_far_apart_two_numbers_are_is_said():
    (problem,) = differences([0.25], [0.75], EXACT)
    assert problem.found == "0.75 (0.5 apart)"
    assert problem.expected == "0.25"


def test_no_more_than_the_limit_is_listed():
    assert len(differences(list(range(100)), list(range(1, 101)), EXACT, limit=7)) == 7
