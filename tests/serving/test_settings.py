"""The settings of a service: from options and variables, and refused all at once where they make no sense."""

import argparse
import inspect
import subprocess
import sys

import pytest

from model_envelope.commands import serve as command
from model_envelope.runtime.errors import ExitCode
from model_envelope.serving.settings import InvalidSettings, Settings, add_options, read_settings
from model_envelope.workflows import serve as workflow


def read(*words, **environment):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_settings(parser.parse_args(words), environment)


def test_what_is_not_said_has_a_default():
    assert read() == Settings()
    assert Settings().max_body == 64_000_000


def test_an_option_wins_over_a_variable():
    settings = read("--max-rows", "5", ENVELOPE_MAX_ROWS="7", ENVELOPE_QUEUE="9", ENVELOPE_TIME_LIMIT="")
    assert (settings.max_rows, settings.queue, settings.time_limit) == (5, 9, 60.0)


@pytest.mark.parametrize(
    ("word", "size"), [("1", 1), ("64MB", 64_000_000), ("1.5 GB", 1_500_000_000), ("2kib", 2048), ("10 Mi", 10 * 2**20)]
)
def test_sizes_as_people_write_them(word, size):
    assert read("--max-body", word).max_body == size


@pytest.mark.parametrize(("word", "on"), [("true", True), ("1", True), ("off", False), ("No", False)])
def test_switches(word, on):
    assert read(ENVELOPE_BATCHING=word).batching is on
    assert read("--no-batching", ENVELOPE_BATCHING=word).batching is False
    assert read("--show-values", ENVELOPE_SHOW_VALUES=word).show_values is True


def test_workers_for_each_cpu():
    assert read("--workers", "auto").workers >= 1


NONSENSE = {
    "max-body": ["0", "-1", "many", "5XB", "1e9", "9" * 30, "inf"],
    "max-rows": ["0", "-5", "1.5", "\u0661", "9" * 5000],
    "time-limit": ["0", "-1", "nan", "inf", "1e9", "soon"],
    "drain-delay": ["-1", "nan"],
    "workers": ["0", "513", "half", "AUTO"],
    "extra-columns": ["drop"],
    "log-level": ["loud"],
    "log-format": ["xml"],
}


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in NONSENSE.items() for word in words])
def test_nonsense_is_refused_by_name_wherever_it_comes_from(name, word):
    variable = f"ENVELOPE_{name.replace('-', '_').upper()}"
    for found, place in ((lambda: read(f"--{name}={word}"), f"--{name}"), (lambda: read(**{variable: word}), variable)):
        with pytest.raises(InvalidSettings) as caught:
            found()
        (problem,) = caught.value.problems
        assert (problem.path, problem.code) == (place, "serve.setting")
        assert problem.found == f"`{word:.40}`"
        assert problem.expected


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InvalidSettings) as caught:
        read("--workers", "none", "--queue", "0", ENVELOPE_BATCHING="maybe")
    assert {problem.path for problem in caught.value.problems} == {"--workers", "--queue", "ENVELOPE_BATCHING"}
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_drain_delay_must_leave_time_to_finish():
    with pytest.raises(InvalidSettings, match=r"drain delay is 30 s, and the grace that includes it 25 s"):
        read("--drain-delay", "30")


def test_the_process_says_what_is_wrong_and_ends_with_2(scorer):
    words = [sys.executable, "-m", "model_envelope.serving", str(scorer), "--workers", "none"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "error[serve.settings]" in done.stderr
    assert "--workers: found `none`, expected a whole number from 1 to 512, or auto" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_offers_each_setting_and_tells_the_default_of_the_service():
    options = {
        name: parameter.annotation.__metadata__[0]
        for name, parameter in inspect.signature(command.serve).parameters.items()
        if hasattr(parameter.annotation, "__metadata__")
    }
    parser = argparse.ArgumentParser()
    add_options(parser)
    names = {action.dest for action in parser._actions} - {"help"}
    assert names <= set(options)
    for name in names:
        default = workflow.SETTINGS.get(name.replace("_", "-"), getattr(Settings(), name))
        if isinstance(default, bool):
            default = "yes" if default else "no"
        if default in ("", ()):
            default = "none"
        told = f"{default:g}" if isinstance(default, float) else {64_000_000: "64MB"}.get(default, default)
        assert f"Default: {told}." in options[name].help
        assert options[name].envvar == f"ENVELOPE_{name.upper()}"
