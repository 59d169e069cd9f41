"""The entry of images and of local processes: what stands on standard output, and how it ends."""

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from model_envelope.runtime.errors import from_document

RUN = """
import sys, types
import model_envelope.scoring
from model_envelope.scoring import telling
telling.EVERY = telling.DRAWN = 0.02
engine = types.ModuleType("model_envelope.scoring.engine")
sys.modules[engine.__name__] = engine
exec(sys.argv.pop(1), engine.__dict__)
from model_envelope.runtime.ending import leave
from model_envelope.scoring.__main__ import main
leave(main())
"""
DONE = """
class Report:
    def to_document(self): return {"rows": {"read": 3}}
    def text(self): return "3 of 3 rows scored"
    def summary(self): return {"rows_read": 3, "output": "out.parquet"}
"""
GOOD = DONE + "def score(job, report):\n    return Report()\n"
WORDS = ("flights", "--input", "in.parquet", "--output", "out.parquet")


@contextmanager
def started(engine, *words, **more):
    command = [sys.executable, "-c", RUN, engine, *words]
    more = {"stdin": subprocess.DEVNULL} | more
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(engine, *words, given=None):
    with started(engine, *words, stdin=subprocess.PIPE) as process:
        out, err = process.communicate(given, timeout=60)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err


def until(text, stream):
    for line in stream:
        if text in line:
            return
    pytest.fail(f"it ended without saying {text!r}")


def fails(raised):
    return f"def score(job, report):\n    raise {raised}\n"


def test_the_last_line_is_the_summary_and_people_read_the_report():
    code, (started, done), err = run(GOOD, *WORDS)
    assert code == 0
    assert started["event"] == "started"
    assert done == {"event": "done", "rows_read": 3, "output": "out.parquet"}
    assert err == "3 of 3 rows scored\n"


def test_what_the_model_prints_is_not_on_standard_output():
    noisy = (
        DONE + "import os, subprocess\n"
        "def score(job, report):\n"
        "    print('printed'); os.write(1, b'written\\n'); subprocess.run(['echo', 'echoed'], check=True)\n"
        "    return Report()\n"
    )
    code, events, err = run(noisy, *WORDS)
    assert (code, [event["event"] for event in events]) == (0, ["started", "done"])
    assert all(word in err for word in ("printed", "written", "echoed"))


def test_it_says_how_far_it_is_and_what_it_notes():
    slow = (
        DONE + "import time\n"
        "def score(job, report):\n"
        "    report({'event': 'note', 'text': 'two workers pay'})\n"
        "    for rows in (0, 250, 500):\n"
        "        report({'event': 'progress', 'rows': rows, 'total': 1000, 'refused': 2}); time.sleep(0.2)\n"
        "    return Report()\n"
    )
    code, events, err = run(slow, *WORDS)
    assert code == 0
    assert {"event": "note", "text": "two workers pay"} in events
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["rows"], last["total"], last["refused"]) == (500, 1000, 2)
    assert last["rate"] > 0
    assert last["left"] > 0
    assert "note: two workers pay" in err
    assert "500 of 1,000 rows" in err
    assert "2 refused" in err


def test_a_total_that_nobody_knows_is_null():
    slow = (
        DONE + "import time\n"
        "def score(job, report):\n"
        "    report({'event': 'progress', 'rows': 7, 'total': None, 'refused': 0}); time.sleep(0.2)\n"
        "    return Report()\n"
    )
    _, events, err = run(slow, *WORDS)
    assert [event["left"] for event in events if event["event"] == "progress"] == [None]
    assert "7 rows, " in err


TABLES = "__import__('model_envelope.scoring.tables', fromlist=['x'])"


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (f"{TABLES}.InvalidTable('no column age', code='table.columns', hint='it has years')", 1, "table.columns"),
        (f"{TABLES}.CannotWrite('it exists', code='output.exists')", 1, "output.exists"),
        (f"{TABLES}.InvalidJob('no such method', code='job.method')", 2, "job.method"),
        (f"{TABLES}.InvalidJob('deltalake is not installed', code='job.extra')", 4, "job.extra"),
        ("MemoryError()", 1, "system.memory"),
        (f"OSError({errno.ENOSPC}, 'full', 'out.parquet')", 1, "system.no-space"),
        ("KeyError('x')", 70, "bug"),
        ("SystemExit(0)", 70, "bug"),
    ],
)
def test_errors_have_their_codes(raised, code, told):
    found, events, err = run(fails(raised), *WORDS)
    assert found == code
    assert events[-1]["event"] == "failed"
    assert from_document(events[-1]["error"]).code == told
    assert f"error[{told}]: " in err


def test_a_bug_comes_with_its_traceback():
    _, events, _ = run(fails("KeyError('x')"), *WORDS)
    assert "in score" in events[-1]["error"]["detail"]


@pytest.mark.parametrize(
    "words",
    [
        ("flights", "--input", "a.parquet"),
        (*WORDS, "--workers", "many"),
        (*WORDS, "--nonsense"),
        (*WORDS, "--job", "no"),
    ],
)
def test_wrong_settings_end_with_2(words):
    code, events, err = run(GOOD, *words)
    assert (code, [event["event"] for event in events]) == (2, ["failed"])
    assert "error[" in err


def test_settings_are_checked_without_doing_the_job():
    code, (event,), _ = run(fails("KeyError()"), *WORDS, "--input", "sqlite://u:secret@host/db#t", "--check")
    assert code == 0
    assert event["event"] == "checked"
    assert event["job"]["tables"]["input"] == {"format": "sql", "scheme": "sqlite", "name": "sqlite://host/db#t"}
    assert event["job"]["tables"]["output"]["format"] == "parquet"


def test_help_is_on_standard_output():
    done = subprocess.run(
        [sys.executable, "-m", "model_envelope.scoring", "--help"], capture_output=True, text=True, check=True
    )
    assert "--max-bad-rows" in done.stdout
    assert not done.stderr


WAITS = (
    DONE + "import time\n"
    "def score(job, report):\n"
    "    try:\n"
    "        report({'event': 'note', 'text': 'waiting'})\n"
    "        time.sleep(60)\n"
    "    finally:\n"
    "        print('let go')\n"
    "    return Report()\n"
)
SWALLOWS = WAITS.replace(
    "    finally:\n", "    except BaseException:\n        raise ValueError('library') from None\n    finally:\n"
)


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("engine", [WAITS, SWALLOWS], ids=["raises", "swallows"])
def test_it_stops_in_good_order_when_it_is_told_to(sign, code, engine):
    with started(engine, *WORDS) as process:
        until("waiting", process.stdout)
        os.kill(process.pid, sign)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    line = out.splitlines()[-1]
    assert json.loads(line)["error"]["code"] == "interrupted"
    assert "let go" in err
    assert "goes on" in err
    assert "Traceback" not in err


STUBBORN = """
import time
def score(job, report):
    told = False
    while True:
        try:
            if not told:
                report({'event': 'note', 'text': 'waiting'})
                told = True
            time.sleep(60)
        except BaseException:
            print('swallowed')
"""


def test_the_second_signal_ends_it_at_once():
    with started(STUBBORN, *WORDS) as process:
        until("waiting", process.stdout)
        os.kill(process.pid, signal.SIGTERM)
        until("swallowed", process.stderr)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 143


def test_it_ends_by_itself_when_nothing_else_helps():
    stubborn = "import model_envelope.scoring.__main__ as m\nm.GRACE = 0.2\n" + STUBBORN
    with started(stubborn, *WORDS) as process:
        until("waiting", process.stdout)
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "interrupted"


def test_nobody_who_reads_is_no_reason_to_stop():
    noisy = DONE + (
        "def score(job, report):\n"
        "    for at in range(1000): report({'event': 'note', 'text': 'x' * 1000})\n"
        "    print('done'); return Report()\n"
    )
    with started(noisy, *WORDS) as process:
        process.stdout.close()
        assert "done\n" in process.stderr.read()
        assert process.wait(timeout=30) == 0


def test_a_supervised_job_gets_its_options_in_a_line_and_tells_its_starter_alone():
    echoes = DONE.replace('{"rows": {"read": 3}}', "self.job") + (
        "def score(job, report):\n"
        "    found = Report(); found.job = {'keep': job.keep, 'k': job.parameters}\n"
        "    return found\n"
    )
    given = {
        "envelope": "flights",
        "input": "a.parquet",
        "output": "b.parquet",
        "keep": ["id"],
        "parameter": ["k=3"],
    }
    with started(echoes, "--supervised", stdin=subprocess.PIPE) as process:
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        events = [json.loads(line) for line in process.stdout]
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""
    assert [event["event"] for event in events] == ["started", "report", "done"]
    assert events[1]["report"] == {"keep": ["id"], "k": {"k": 3}}
    assert events[1]["text"] == "3 of 3 rows scored"


def test_a_supervised_job_ends_with_its_starter():
    with started(WAITS, "--supervised", stdin=subprocess.PIPE) as process:
        process.stdin.write(json.dumps({"envelope": "e", "input": "a.parquet", "output": "b.parquet"}) + "\n")
        process.stdin.flush()
        until("waiting", process.stdout)
        process.stdin.close()
        process.stdin = None
        assert process.wait(timeout=30) == 143
