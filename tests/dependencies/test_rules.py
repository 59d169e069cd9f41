"""The rules that are shipped, and what is said of rules that make no sense."""

import pytest

from model_envelope.dependencies.rules import Drop, Keep, Replace, Rules, read_rules, shipped_rules
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
        (b"[[rule]]\naction='replace'\ndistribution='a'\nwith='b'\nwhere='x'\nreason='x'\n", "own.toml: rule 1"),
        (b"[[rule]]\naction = 'keep'\ndistribution = 3\nwhen = 'x'\nreason = 'x'\n", "own.toml: rule 1"),
    ],
)
def test_rules_that_make_no_sense_are_named(content, said):
    with pytest.raises(InvalidInput) as caught:
        read_rules(content, where="own.toml")
    assert caught.value.code == "rules.malformed"
    assert said in str(caught.value)


def test_a_replacement_is_for_the_machines_that_it_has_files_for():
    content = b"""
    [[rule]]
    action = "replace"
    distribution = "a"
    with = "a-here"
    where = "python_version > '3'"
    reason = "runs here"
    [[rule]]
    action = "replace"
    distribution = "b"
    with = "b-elsewhere"
    where = "python_version < '3'"
    reason = "runs elsewhere"
    """
    rules = read_rules(content, where="own.toml").here([])
    assert rules.replacing("a").replacement == "a-here"
    assert rules.replacing("b") is None


def test_what_is_installed_beside_it_may_speak_against_a_replacement():
    rules = Rules((Replace("tensorflow", "tensorflow-cpu", "smaller", unless=frozenset({"nvidia-cudnn-cu12"})),))
    assert rules.here(["tensorflow"]).replacing("tensorflow")
    assert rules.here(["tensorflow", "nvidia-cudnn-cu12"]).replacing("tensorflow") is None


@pytest.mark.parametrize(
    ("rule", "installed", "version"),
    [
        (Replace("opencv-python", "opencv-python-headless", "shipped"), None, "4.10"),
        (Replace("opencv-python", "opencv-python-headless", "shipped"), "4.9", "4.9"),
        (Replace("psycopg2", "psycopg2-binary", "", asked=True), None, "4.10"),
        (Replace("tensorflow-gpu", "tensorflow", "", asked=True), None, "4.10"),
        (Replace("pickle5", "cloudpickle", "", asked=True), None, ""),
        (Replace("pickle5", "cloudpickle", "", asked=True), "3.1", "3.1"),
        (Replace("pickle5", "cloudpickle", "", "==2.0", asked=True), "3.1", "2.0"),
        (Replace("pickle5", "cloudpickle", "", "==2.*", asked=True), "3.1", ""),
        (Replace("pickle5", "cloudpickle", "", ">=2,<3", asked=True), "3.1", ""),
    ],
)
def test_which_version_of_a_replacement_is_pinned(rule, installed, version):
    assert rule.version("4.10+cu121", installed) == version
