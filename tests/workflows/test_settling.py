"""How doubts are settled: with trials that a function stands for, which knows what the model needs."""

import pytest
from environments import Environment

from model_envelope.dependencies.needs import Doubt, Needs
from model_envelope.foundation.progress import silent
from model_envelope.inference.trying import Trial
from model_envelope.workflows.settling import TRIALS, Settling

NAMES = [f"p{at}" for at in range(12)]


@pytest.fixture
def installed(tmp_path):
    environment = Environment(tmp_path)
    for name in NAMES:
        environment.install(name, requires=["p1"] if name == "p0" else [])
    return environment.read()


def settled(installed, needed, missed=lambda _hidden: (), likely=()):
    """Settle doubts about all names; ``needed`` are sets of names, of each of which one has to be there."""
    trials = []

    def attempt(hidings):
        return [one(hidden) for hidden in hidings]

    def one(hidden):
        trials.append(hidden.names)
        broken = [one for one in needed if one <= hidden.names]
        return Trial(f"without {sorted(broken[0])}" if broken else None, tuple(missed(hidden.names)))

    doubts = tuple(Doubt(name, f"lib imports {name}", kept=False, likely=name in likely) for name in NAMES)
    tried = Settling(installed, attempt).settle(Needs((), (), (), doubts=doubts), silent)
    return tried, trials


def test_where_nothing_is_needed_one_trial_tells(installed):
    tried, trials = settled(installed, [])
    assert tried.needed == {}
    assert tried.spare.keys() == set(NAMES)
    assert trials == [frozenset(NAMES)]


def test_what_was_missed_is_found_by_one_more_trial(installed):
    tried, trials = settled(installed, [{"p7"}], missed=lambda hidden: sorted({"p7"} & hidden))
    assert tried.needed == {"p7": "run: lib imports p7; without it: without ['p7']"}
    assert len(trials) == 2


def test_what_comes_along_is_not_hidden_again_and_is_no_need_of_its_own(installed):
    tried, trials = settled(installed, [{"p0"}], missed=lambda hidden: sorted({"p0"} & hidden))
    assert tried.needed.keys() == {"p0"}
    assert trials[1] == frozenset(NAMES) - {"p0", "p1"}
    assert not {"p0", "p1"} & tried.spare.keys()


def test_what_is_needed_and_never_asked_for_by_name_is_found_by_halves(installed):
    tried, trials = settled(installed, [{"p3"}, {"p9"}])
    assert tried.needed.keys() == {"p3", "p9"}
    assert len(trials) <= TRIALS


def test_what_is_likely_is_guessed_beside_the_first_trial(installed):
    tried, trials = settled(installed, [{"p3"}], missed=lambda hidden: sorted({"p3"} & hidden), likely={"p3"})
    assert tried.needed.keys() == {"p3"}
    assert trials == [frozenset(NAMES), frozenset(NAMES) - {"p3"}]


def test_what_is_likely_and_never_asked_for_by_name_is_not_looked_for_elsewhere(installed):
    tried, trials = settled(installed, [{"p3"}], likely={"p3", "p8"})
    assert tried.needed.keys() == {"p3"}
    assert "p8" in tried.spare
    assert len(trials) <= 5


def test_a_guess_that_is_wrong_costs_nothing_else(installed):
    tried, _ = settled(installed, [{"p7"}], likely={"p3"})
    assert tried.needed.keys() == {"p7"}
    assert settled(installed, [], likely={"p3"})[0].needed == {}


def test_what_the_failure_names_is_blamed_before_what_was_missed_last(installed):
    tried, trials = settled(installed, [{"p3"}], missed=lambda hidden: ["p3", "p8"])
    assert tried.needed.keys() == {"p3"}
    assert len(trials) == 2


def test_what_was_blamed_first_and_is_innocent_is_no_need(installed):
    def missed(hidden):
        return ["p7"] if {"p7", "p8"} <= hidden else ["p8"] if "p8" in hidden else []

    tried, _ = settled(installed, [{"p8"}], missed)
    assert tried.needed.keys() == {"p8"}
    assert "p7" in tried.spare


def test_of_two_of_which_one_has_to_be_there_one_is_kept(installed):
    tried, _ = settled(installed, [{"p3", "p9"}], missed=lambda hidden: [n for n in ("p3", "p9") if n in hidden])
    assert len(tried.needed) == 1
    assert tried.needed.keys() <= {"p3", "p9"}


def test_a_model_that_fails_without_any_cause_is_left_to_evidence(installed):
    said = []

    def attempt(hidings):
        return [Trial("it is Monday") for _ in hidings]

    doubts = tuple(Doubt(name, "", kept=False) for name in NAMES)
    assert Settling(installed, attempt).settle(Needs((), (), (), doubts=doubts), said.append) is None
    assert "a trial fails by itself (it is Monday)" in str(said[0])


def test_shared_libraries_that_are_still_loaded_are_needed(installed):
    location = installed.distributions["p5"].location
    info = installed.distributions["p5"].info
    (info / "RECORD").write_text("p5/libp5.so,,\n")

    def attempt(hidings):
        return [Trial(None, (), (str(location / "p5" / "libp5.so"),)) for _ in hidings]

    doubts = tuple(Doubt(name, "its file libp5.so is opened", kept=False) for name in NAMES)
    tried = Settling(installed, attempt).settle(Needs((), (), (), doubts=doubts), silent)
    assert tried.needed == {"p5": "run: its file libp5.so is opened; without it: shared libraries of p5 are loaded"}
