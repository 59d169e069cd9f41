"""The rules that are shipped, and what is said of rules that make no sense."""

import pytest

from model_envelope.dependencies.rules import Drop, Keep, Replace, read_rules, shipped_rules
from model_envelope.foundation.errors import InvalidInput


def test_the_shipped_rules_are_read_and_each_has_a_reason():
    rules = shipped_rules().rules
    assert {type(rule) for rule in rules} == {Keep, Drop, Replace}
    assert all(rule.reason for rule in rules)


def test_no_distribution_is_decided_twice():
    named = [
        name
        for rule in shipped_rules().rules
        if not isinstance(rule, Keep)
        for name in (rule.distributions if isinstance(rule, Drop) else {rule.distribution})
    ]
    assert len(named) == len(set(named))


def test_the_first_rule_that_fits_decides():
    content = b"""
    [[rule]]
    action = "replace"
    distribution = "A_B"
    with = "c"
    reason = "first"
    [[rule]]
    action = "drop"
    distributions = ["a-b"]
    reason = "second"
    """
    rules = read_rules(content, where="own.toml")
    assert rules.replacing("a-b").replacement == "c"
    assert rules.dropping("a-b") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[[rule]\n", "no TOML"),
        (b"[[rule]]\naction = 'forget'\nreason = 'x'\n", "own.toml: rule 1: the action is `forget`"),
        (b"[[rule]]\naction = 'drop'\nreason = 'x'\n", "'distributions'"),
        (b"rule = [1]\n", "own.toml: rule 1"),
        (b"[[rule]]\naction = 'keep'\ndistribution = 3\nwhen = 'x'\nreason = 'x'\n", "own.toml: rule 1"),
    ],
)
def test_rules_that_make_no_sense_are_named(content, said):
    with pytest.raises(InvalidInput) as caught:
        read_rules(content, where="own.toml")
    assert caught.value.code == "rules.malformed"
    assert said in str(caught.value)
