"""How many requests a turn takes, by what turns were measured to cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.serving.turns import Cost


def measured(*turns):
    cost = Cost()
    for questions, size, seconds in turns:
        cost.observe(questions, size, seconds)
    return cost


def test_what_a_byte_costs_is_told_apart_from_what_a_call_costs():
    cost = measured(*((1, size, 0.002 + 1e-8 * size) for size in (200, 6400, 200, 150_000, 3000)))
    assert cost.byte == pytest.approx(1e-8)


def test_as_long_as_all_turns_are_alike_the_bytes_bear_it_all():
    cost = measured(*[(1, 200, 0.002)] * 50)
    assert cost.byte == pytest.approx(1e-5)
    assert cost.question == cost.turn == pytest.approx(0.002)


def test_what_was_long_ago_is_forgotten():
    cost = measured(*[(1, 200, 1.0)] * 50, *[(4, 200, 0.002)] * 200)
    assert cost.turn == pytest.approx(0.002)
    assert cost.question == pytest.approx(0.0005)


@given(
    st.lists(
        st.tuples(st.integers(1, 1000), st.integers(0, 10**8), st.floats(0, 60, allow_nan=False)),
        min_size=1,
        max_size=50,
    )
)
def test_costs_are_never_negative_nor_more_than_was_measured(turns):
    cost = measured(*turns)
    assert cost.known
    assert cost.byte >= 0
    assert 0 <= cost.turn <= max(seconds for _, _, seconds in turns) * (1 + 1e-9)
