import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.runtime.comparing import differences, only_last_bits, ulps
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


@pytest.mark.parametrize(
    ("expected", "found", "dtype", "told"),
    [
        (0.25, 0.75, "float64", "0.75 (0.5 apart, relative 2)"),
        (0.3, 0.1 + 0.2, "float64", "0.30000000000000004 (5.55e-17 apart, relative 1.9e-16, 1 ULP)"),
        (0.0, -5e-324, "float64", "-5e-324 (4.94e-324 apart, 1 ULP)"),
        (
            1.0,
            1.000000238418579,
            "float32",
            "1.000000238418579 (2.38e-07 apart, relative 2.4e-07, 2 ULPs of float32)",
        ),
        (3, 5, "float64", "5 (2 apart, relative 0.67)"),
        (10**400, 1.5, "float64", "1.5 (far apart)"),
    ],
)
def test_how_far_apart_two_numbers_are_is_said(expected, found, dtype, told):
    (problem,) = differences([expected], [found], EXACT, dtype=dtype)
    assert problem.found == told


@pytest.mark.parametrize(
    ("expected", "found", "dtype", "rounding"),
    [
        (0.3, 0.1 + 0.2, "float64", True),
        (1.0, 1.0 + 250 * 2.0**-52, "float64", True),
        (1.0, 1.0 + 300 * 2.0**-52, "float64", False),
        (1.0, 1.000001, "float64", False),
        (1.0, 1.000001, "float32", True),
        (1.0, 1.0001, "float32", False),
        (1.0, -1.0, "float16", False),
        (2, 3, "float64", False),
    ],
)
def test_what_rounding_explains_has_a_code_of_its_own(expected, found, dtype, rounding):
    problems = differences([expected], [found], EXACT, dtype=dtype)
    assert only_last_bits(problems) == rounding
    assert problems[0].code == ("answer.last-bits" if rounding else "answer.differs")


def test_a_wrong_answer_is_not_hidden_behind_rounding():
    close = [1.0 + 2.0**-52] * 50
    problems = differences([1.0] * 50 + ["a"], [*close, "b"], EXACT, limit=5)
    assert len(problems) == 5
    assert problems[0].path == "$[50]"
    assert not only_last_bits(problems)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_next_number_is_one_ulp_away(number):
    after = math.nextafter(number, math.inf)
    assert math.isinf(after) or ulps(number, after) == 1


def test_no_more_than_the_limit_is_listed():
    assert len(differences(list(range(100)), list(range(1, 101)), EXACT, limit=7)) == 7
