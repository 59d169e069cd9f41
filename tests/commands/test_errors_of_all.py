"""Every command tells its errors alike, as text and as JSON."""

import pytest

from model_envelope.commands.verbs import VERBS

NOWHERE = {
    "new": ["nowhere"],
    "pack": ["nowhere.pkl", "--input", "nowhere.csv"],
    "build": ["nowhere"],
    "serve": ["nowhere"],
    "batch": ["nowhere", "--input", "nowhere.parquet", "--output", "b.parquet"],
    "inspect": ["nowhere.pkl"],
    "show": ["nowhere"],
    "signature": ["nowhere"],
    "dependencies": ["nowhere"],
    "diff": ["nowhere", "nowhere"],
    "verify": ["nowhere"],
    "audit": ["nowhere"],
    "tag": ["nowhere", "a=b"],
    "metric": ["nowhere", "a=1"],
    "lock": ["nowhere"],
    "render": ["nowhere"],
}
"""A call of each command that has to fail, for want of what it names. Nothing that is missing fails `doctor`."""


def test_every_command_is_here():
    assert NOWHERE.keys() | {"doctor", "cache"} == VERBS.keys()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")


@pytest.mark.parametrize("verb", NOWHERE)
def test_text(cli, verb, tmp_path):
    ran = cli(verb, *NOWHERE[verb])
    assert (ran.code, ran.out) == (1, "")
    assert "nowhere" in ran.err
    assert "error[" in ran.err
    assert "\nhint: " in ran.err
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("verb", NOWHERE)
def test_json(cli, verb):
    ran = cli(verb, *NOWHERE[verb], "--json")
    assert ran.code == 1
    assert ran.document.keys() == {"format", "command", "ok", "error"}
    assert (ran.document["format"], ran.document["command"]) == (1, verb)
    assert "nowhere" in ran.error["message"]
    area, _, name = ran.error["code"].partition(".")
    assert area
    assert name


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option_is_a_wrong_use(cli, verb):
    ran = cli(verb, *NOWHERE.get(verb, []), "--json", "--nonsense")
    assert ran.code == 2
    assert ran.document["command"] == verb
    assert ran.error["code"] == "usage"
    assert ran.error["hint"] == f"`envelope {verb} --help` says what it takes"
