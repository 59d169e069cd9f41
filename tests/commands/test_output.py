"""What every command shares: errors, exit codes, JSON, colours, progress."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_envelope.commands.options import Json, numbers, pairs
from model_envelope.commands.output import Misuse, command, plain
from model_envelope.commands.steps import Steps
from model_envelope.commands.verbs import VERBS, Verb
from model_envelope.foundation.errors import Answered, InvalidInput, ToolFailed
from model_envelope.foundation.progress import Done, Note, Started
from model_envelope.runtime.errors import Problem


@pytest.fixture
def probe(monkeypatch):
    """Make `envelope probe` do what the test says."""

    def install(work):
        def probe(json: Json = False) -> None:
            with command("probe", json=json) as out:
                work(out)

        monkeypatch.setitem(VERBS, "probe", Verb("Look", "Probe."))
        monkeypatch.setitem(sys.modules, "model_envelope.commands.probe", SimpleNamespace(probe=probe))

    return install


def raising(error):
    def work(out):
        out.report(Started("step", "Working"))
        raise error

    return work


FULL = InvalidInput(
    "the samples do not fit",
    code="samples.misfit",
    hint="write them as `[...]`",
    problems=[Problem("$.x[0]", "a string", "a number"), Problem("$.y", "nothing", "a value", "payload.missing")],
    detail="two lines\nof detail\n",
)


def test_an_error_is_told_whole_on_stderr(cli, probe):
    probe(raising(FULL))
    ran = cli("probe")
    assert ran.code == 1
    assert ran.out == ""
    first, *rest = ran.err.splitlines()
    assert first.startswith("✗ Working")
    assert "\n".join(rest) == (
        "error[samples.misfit]: the samples do not fit\n"
        "  $.x[0]: found a string, expected a number\n"
        "  $.y: found nothing, expected a value\n"
        "\n"
        "two lines\n"
        "of detail\n"
        "\n"
        "hint: write them as `[...]`"
    )


def test_an_error_as_json(cli, probe):
    probe(raising(FULL))
    ran = cli("probe", "--json")
    assert ran.code == 1
    assert ran.document == {
        "format": 1,
        "command": "probe",
        "ok": False,
        "error": {
            "type": "InvalidInput",
            "code": "samples.misfit",
            "message": "the samples do not fit",
            "hint": "write them as `[...]`",
            "problems": [
                {"path": "$.x[0]", "found": "a string", "expected": "a number", "code": ""},
                {"path": "$.y", "found": "nothing", "expected": "a value", "code": "payload.missing"},
            ],
            "detail": "two lines\nof detail\n",
        },
    }
    assert "error[samples.misfit]" in ran.err


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (InvalidInput("x", code="a.b"), 1, "a.b"),
        (Misuse("x", code="usage.pair"), 2, "usage.pair"),
        (Answered("x", code="a.no"), 3, "a.no"),
        (ToolFailed("x", code="tool.failed"), 4, "tool.failed"),
        (OSError(28, "No space left on device", "/there"), 1, "system.no-space"),
        (PermissionError(13, "Permission denied", "/there"), 1, "system.no-permission"),
        (ZeroDivisionError("division by zero"), 70, "bug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_has_its_exit_code(cli, probe, error, code, name):
    probe(raising(error))
    ran = cli("probe")
    assert (ran.code, ran.out) == (code, "")
    assert f"error[{name}]: " in ran.err
    ran = cli("probe", "--json")
    assert ran.code == code
    assert ran.error["code"] == name


def test_where_a_copy_finds_no_space_the_place_that_is_full_is_named(cli, probe):
    probe(raising(OSError(28, "No space left on device", "/from/uv", None, "/full/uv")))
    ran = cli("probe")
    assert "No space left on device: `/full/uv`" in ran.err
    assert "/from/uv" not in ran.err


def test_a_bug_says_so_and_leaves_its_traceback(cli, probe, tmp_path):
    probe(raising(ZeroDivisionError("division by zero")))
    ran = cli("probe")
    assert "this is a bug in model-envelope: ZeroDivisionError: division by zero" in ran.err
    assert "Traceback" not in ran.err
    (written,) = tmp_path.glob("envelope-*.traceback.txt")
    assert str(written) in ran.err
    assert "ZeroDivisionError" in written.read_text()


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_prints_the_traceback(cli, probe, monkeypatch, how):
    monkeypatch.setenv("ENVELOPE_DEBUG", "1" if how == "environment" else "")
    probe(raising(FULL))
    ran = cli(*(["--debug"] if how == "option" else []), "probe")
    assert ran.code == 1
    assert "Traceback (most recent call last)" in ran.err


@dataclass(frozen=True)
class Result:
    path: Path
    score: float


def test_a_result_is_text_or_json(cli, probe):
    probe(lambda out: out.finish(Result(Path("/there"), 0.5), text=lambda result: [str(result.path), "and more"]))
    assert cli("probe").out == "/there\nand more\n"
    assert cli("probe", "--json").result == {"path": "/there", "score": 0.5}


def test_a_question_answered_no_is_told_with_its_answer(cli, probe):
    no = Answered("they differ", code="a.no")
    probe(lambda out: out.finish(Result(Path("/there"), 0.5), text=lambda result: [str(result.path)], no=no))
    ran = cli("probe")
    assert (ran.code, ran.out) == (3, "/there\n")
    assert ran.err == "error[a.no]: they differ\n"
    ran = cli("probe", "--json")
    assert ran.code == 3
    assert ran.document.keys() == {"format", "command", "ok", "result", "error"}
    assert ran.document["ok"] is False


def test_progress_goes_to_stderr_one_line_a_step(cli, probe):
    def work(out):
        out.report(Started("lock", "Locking"))
        out.report(Note("something to know"))
        out.report(Done("lock", "Locked 4 packages"))
        out.say("plain words")
        out.finish(None, text=lambda _: ["data"])

    probe(work)
    ran = cli("probe")
    assert ran.out == "data\n"
    assert ran.err == "note: something to know\n✓ Locked 4 packages  0.0 s\nplain words\n"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_progress_on_a_terminal_is_drawn_with_colours(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    steps = Steps(stream)
    steps.report(Started("lock", "Locking"))
    steps.report(Started("download", "Downloading"))
    steps.report(Done("download", "Downloaded"))
    steps.report(Done("lock", "Locked"))
    steps.close()
    said = stream.getvalue()
    assert "Locking" in said
    assert "\x1b[1;32m✓\x1b[0m Downloaded" in said
    assert said.index("Downloaded") < said.index("Locked")
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") > 0  # the cursor is shown again


def test_no_color_holds(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    steps = Steps(stream)
    steps.report(Started("lock", "Locking"))
    steps.report(Done("lock", "Locked"))
    steps.close(failed=True)
    assert "✓ Locked" in stream.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*m", stream.getvalue())


def test_marks_where_the_terminal_cannot_write_them():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    steps = Steps(stream)
    steps.report(Done("lock", "Locked"))
    stream.seek(0)
    assert stream.read() == "ok: Locked\n"


def test_colours_on_a_terminal_and_none_with_no_color(sealed):
    def said(**env):
        ends = os.openpty()
        done = subprocess.Popen(
            [sys.executable, "-m", "model_envelope", "show", sealed / "none"],
            stderr=ends[1], stdout=ends[1], env={**os.environ, "TERM": "xterm", **env},
        )  # fmt: skip
        assert done.wait() == 1
        os.close(ends[1])
        text = os.read(ends[0], 10_000).decode()
        os.close(ends[0])
        return text

    assert "\x1b[1;31merror\x1b[0m[envelope.missing]: there is nothing at" in said()
    assert "\x1b" not in said(NO_COLOR="1")
    assert "\x1b" not in said(TERM="dumb")


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Path("/there"), "/there"),
        ((1, 2), [1, 2]),
        (frozenset("ba"), ["a", "b"]),
        ({1: Colour.RED}, {"1": "red"}),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (Problem("$", "a", "b", "c"), {"path": "$", "found": "a", "expected": "b", "code": "c"}),
    ],
)
def test_values_of_results_become_json(value, expected):
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_pairs():
    assert pairs(["a=1", "b=", "c=x=y", "a=2"]) == {"a": "2", "b": "", "c": "x=y"}
    with pytest.raises(Misuse, match="found `a`, `=b`, expected KEY=VALUE"):
        pairs(["a", "=b", "c=d"])
    assert numbers(["auc=0.5", "n=1e3"]) == {"auc": 0.5, "n": 1000.0}
    with pytest.raises(Misuse, match="found `a=x`, expected NAME=NUMBER"):
        numbers(["a=x", "b=1"])


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_130_and_leaves_no_child(sealed, seal, tmp_path, sign):
    started = tmp_path / "started"
    (sealed / "code" / "doubling" / "__init__.py").write_text(
        f"import os, time, pathlib\npathlib.Path({str(started)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    seal(sealed)
    process = subprocess.Popen(
        [sys.executable, "-m", "model_envelope", "verify", sealed, "--samples", "--trust", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not (started.is_file() and started.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(sign)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "error[interrupted]: interrupted" in err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["code"] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_a_reader_that_is_gone_is_no_error(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m model_envelope new --json | true; echo ${{PIPESTATUS[0]}}",
        check=False, shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() in {"0", "1"}
    assert done.stderr == ""
