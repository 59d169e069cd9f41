"""What is printed of a build, on a terminal and where there is none."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from model_envelope.commands import steps as drawing
from model_envelope.commands.building import summary
from model_envelope.commands.output import Output
from model_envelope.commands.steps import Steps
from model_envelope.foundation.progress import Doing, Done, Part, Started
from model_envelope.runtime.replay import MethodReplay
from model_envelope.targets.build_log import Step
from model_envelope.targets.layers import Layer
from model_envelope.workflows.build_report import BuildResult, Package

RESULT = BuildResult(
    image="flights:1",
    id="sha256:1",
    size=450_700_000,
    name="flights",
    digest="d",
    lock="l",
    target="service",
    base_image="python:3.11-slim",
    base_digest=None,
    builder="BuildKit",
    layers=(
        Layer("base image", ("b",), 170_900_000, new=False),
        Layer("packages", ("p",), 275_800_000, new=False),
        Layer("runtime code", ("s",), 3_900_000, new=False),
        Layer("model", ("m",), 99_990, new=True),
        Layer("settings", ("w",), 0, new=True),
    ),
    packages=(
        Package("scipy", "1.17.1", 115_700_000, 40_000_000, "comes with scikit-learn"),
        Package("numpy", "2.4.6", 55_700_000, 2_300_000, "pickle: numpy.dtype and 4 more"),
    ),
    steps=(
        Step("base image", cached=False, seconds=0.0),
        Step("packages", cached=True, seconds=0.0),
        Step("export", cached=False, seconds=2.12),
        Step("proof", cached=False, seconds=1.5),
    ),
    replays=(MethodReplay("predict", agrees=True, differences=(), seconds=0.1),),
    seconds=4.0,
    log=Path("/state/builds/1.log"),
)


def drawn(result, capsys) -> str:
    out = Output("build", json=False)
    out.draw(summary(result))
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_summary_says_what_is_large_and_why(capsys):
    lines = [" ".join(line.split()) for line in drawn(RESULT, capsys).splitlines()]
    assert lines == [
        "",
        "layer size beside the image that had this name before",
        "base image 170.9 MB the same, python:3.11-slim",
        "packages 275.8 MB the same, 2 packages, 42.3 MB pruned",
        "runtime code 3.9 MB the same",
        "model 100.0 kB new",
        "in all 450.7 MB 279.8 MB above the base image",
        "",
        "largest package size why",
        "scipy 1.17.1 115.7 MB comes with scikit-learn",
        "numpy 2.4.6 55.7 MB pickle: numpy.dtype and 4 more",
        "",
        "time: 4.0 s (export 2.1 s, proof 1.5 s; cached: packages)",
        "log: /state/builds/1.log",
    ]


def test_no_line_ends_with_spaces(capsys):
    assert [line for line in drawn(RESULT, capsys).splitlines() if line != line.rstrip()] == []


def test_on_a_narrow_terminal_names_and_sizes_are_whole():
    written = io.StringIO()
    for line in summary(RESULT):
        Console(file=written, width=50).print(line)
    said = written.getvalue()
    for whole in ("base image", "170.9 MB", "scipy 1.17.1", "115.7 MB"):
        assert whole in said
    assert max(map(len, said.splitlines())) <= 50


def test_what_is_not_known_is_left_out(capsys):
    layers = tuple(replace(layer, new=None) for layer in RESULT.layers)
    said = drawn(replace(RESULT, layers=layers, packages=(), log=None), capsys)
    assert "the same" not in said
    assert "new" not in said
    assert "largest" not in said
    assert "log:" not in said


def test_of_a_build_that_had_nothing_to_do_nothing_is_drawn(capsys):
    assert drawn(replace(RESULT, unchanged=True), capsys) == ""


def test_the_json_document_is_that_of_build_json(capsys):
    Output("build", json=True).finish(RESULT, text=lambda _: [])
    document = json.loads(capsys.readouterr().out)["result"]
    assert document == json.loads(json.dumps(RESULT.to_document()))
    assert document["unchanged"] is False


class Terminal(io.StringIO):
    def isatty(self):
        return True


EVENTS = [
    Started("build", "Building on python:3.11-slim"),
    Doing("build", "Building: installing 34 packages with uv"),
    Part("build", "packages", 12.3),
    Done("build", "Built 450.7 MB"),
]


def test_without_a_terminal_each_part_is_a_plain_line():
    stream = io.StringIO()
    steps = Steps(stream)
    for event in EVENTS:
        steps.report(event)
    steps.close()
    assert stream.getvalue().splitlines()[0] == "  packages  12.3 s"
    assert stream.getvalue().splitlines()[1].startswith("✓ Built 450.7 MB  ")
    assert not any(ord(letter) < 32 and letter != "\n" for letter in stream.getvalue())


def test_on_a_terminal_the_spinner_says_what_goes_on_and_since_when(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(drawing, "PATIENCE", 0.0)
    stream = Terminal()
    steps = Steps(stream)
    for event in EVENTS[:3]:
        steps.report(event)
    until = time.monotonic() + 30
    while "with uv, 0 s" not in stream.getvalue():
        assert time.monotonic() < until, stream.getvalue()
        time.sleep(0.01)
    steps.report(EVENTS[3])
    steps.close()
    assert "packages  12.3 s" not in stream.getvalue()
