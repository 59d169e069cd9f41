"""The first page of help and the version: right, complete and quick."""

import os
import subprocess
import sys
from importlib import import_module

import pytest
import typer.main

import model_envelope
from model_envelope.commands.application import application
from model_envelope.commands.verbs import OPTIONS, VERBS, root_help

HEAVY = {"pandas", "numpy", "sklearn", "pyarrow", "cookiecutter", "jinja2", "docker", "requests", "starlette"}


def loaded_by(*words):
    code = (
        "import sys\nfrom model_envelope.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print('modules:', *sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=env, check=True)
    *_, modules = done.stdout.splitlines()
    assert modules.startswith("modules:")
    return set(modules.split()[1:])


def test_version(cli):
    assert cli("--version").out == f"envelope {model_envelope.__version__}\n"
    assert cli("--debug", "--version").out == f"envelope {model_envelope.__version__}\n"


def test_version_is_answered_before_typer_is_imported():
    assert not loaded_by("--version") & (HEAVY | {"typer", "click", "rich", "model_envelope.commands"})


@pytest.mark.parametrize("words", [[], ["--debug"], *([name] for name in VERBS)], ids=" ".join)
def test_help_loads_nothing_heavy(words):
    assert not loaded_by(*words, "--help") & HEAVY


def test_root_help_imports_no_command():
    loaded = loaded_by("--debug", "--help")
    assert not {f"model_envelope.commands.{name}" for name in VERBS} & loaded


def test_root_help_says_the_same_through_typer(cli):
    assert cli("--help").out == cli("--debug", "--help").out == root_help(sys.stdout)


def test_no_command_is_a_wrong_use_answered_with_help(cli):
    ran = cli()
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: envelope" in ran.err


def test_root_help_is_in_step_with_the_options():
    group = typer.main.get_command(application)
    context = group.make_context("envelope", [], resilient_parsing=True)
    named = {option for parameter in group.get_params(context) for option in parameter.opts}
    assert named == set(OPTIONS)


def test_root_help_fits_a_terminal_of_eighty_columns(cli):
    assert max(map(len, cli("--help").out.splitlines())) <= 80


@pytest.mark.parametrize("name", VERBS)
def test_root_help_is_in_step_with_the_commands(cli, name):
    function = getattr(import_module(f"model_envelope.commands.{name}"), name)
    assert function.__doc__.splitlines()[0] == VERBS[name].summary
    shown = cli(name, "--help").out
    assert shown.startswith(f"Usage: envelope {name} ")
    assert VERBS[name].summary in shown
    assert "--json" in shown


def test_help_has_colours_on_a_terminal_only(cli, monkeypatch):
    monkeypatch.setattr("model_envelope.commands.colours.coloured", lambda stream: True)
    assert "\x1b[1;32mRoad:" not in cli("--help").out
    assert "\x1b[1;36mpack" in cli("--help").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pak"], "no such command `pak`. Did you mean `pack`?"),
        (["--nonsense"], "no such option"),
        (["new", "--nonsense"], "no such option"),
        (["tag"], "missing argument `ENVELOPE`"),
        (["--debug"], "missing command"),
    ],
)
def test_a_wrong_use_ends_with_2(cli, words, message, monkeypatch):
    monkeypatch.setenv("ENVELOPE_DEBUG", "")
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert f"error[usage]: {message}" in ran.err
    assert "hint: `envelope" in ran.err


def test_a_wrong_use_as_json(cli):
    ran = cli("tag", "--json")
    assert ran.code == 2
    assert ran.document["command"] == "tag"
    assert ran.error["code"] == "usage"
    assert ran.error["hint"] == "`envelope tag --help` says what it takes"


def test_completion_names_the_commands():
    env = {**os.environ, "_ENVELOPE_COMPLETE": "complete_bash", "COMP_WORDS": "envelope ver", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "model_envelope"], check=False, capture_output=True, text=True, env=env
    )
    assert done.stdout.split() == ["verify"], done.stderr
