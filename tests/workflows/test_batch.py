import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import model_envelope as me
from model_envelope.foundation.errors import InvalidInput, Refused, ToolFailed
from model_envelope.foundation.progress import Counted, Note
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.workflows import batch as workflow
from model_envelope.workflows.batch import batch

HERE = Path(sys.executable)


@pytest.fixture
def score(ages, tmp_path):
    def run(source, output="out.parquet", **more):
        settings = {"input": str(source), "output": str(tmp_path / output)} | more.pop("settings", {})
        return batch(ages, settings=settings, python=HERE, trust=True, **more)

    return run


def refused(score, *words, **more):
    with pytest.raises(EnvelopeError) as caught:
        score(*words, **more)
    return caught.value


def test_a_table_is_scored_and_nothing_is_left_behind(score, ages, table, tmp_path):
    lines = []
    before = sorted(tmp_path.iterdir())
    result = score(table(20, 30.5, 41), settings={"keep": ["name"], "run-id": "today"}, log=lines.append)
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {
        "name": ["n0", "n1", "n2"],
        "score": [40.0, 61.0, 82.0],
    }
    assert result.output == str(tmp_path / "out.parquet")
    assert (result.report["run_id"], result.report["rows"]["scored"]) == ("today", 3)
    assert result.text.startswith("3 of 3 rows scored")
    assert "asked for 3" in lines
    assert not manifest.compare(ages)
    left = sorted(path for path in tmp_path.iterdir() if not path.name.startswith(".out.parquet."))
    assert left == sorted([*before, tmp_path / "in.parquet", tmp_path / "out.parquet"])


def test_an_envelope_from_elsewhere_needs_trust(ages, table, tmp_path):
    settings = {"input": str(table(20)), "output": str(tmp_path / "out.parquet")}
    with pytest.raises(Refused) as caught:
        batch(ages, settings=settings, python=HERE)
    assert caught.value.code == "trust.unknown"


def test_an_envelope_that_was_changed_is_refused(score, ages, table):
    (ages / "extra.txt").write_text("x")
    error = refused(score, table(20))
    assert (error.code, error.exit_code) == ("verify.files", ExitCode.NO)


def test_settings_are_held_before_anything_else(score, table, tmp_path):
    error = refused(score, table(20), settings={"workers": "many", "max-bad-rows": "-1"})
    assert (type(error).__name__, error.exit_code) == ("InvalidJob", ExitCode.USAGE)
    assert {problem.path for problem in error.problems} == {"--workers", "--max-bad-rows"}
    assert not (tmp_path / "out.parquet").exists()


def test_a_job_file_and_variables_say_the_rest(ages, table, tmp_path, monkeypatch):
    path = tmp_path / "job.yaml"
    path.write_text(f"envelope: {ages}\ninput: {table(20)}\noutput: {tmp_path / 'file.parquet'}\nkeep: name\n")
    monkeypatch.setenv("ENVELOPE_OUTPUT", str(tmp_path / "variable.parquet"))
    monkeypatch.setenv("ENVELOPE_KEEP", "age,name")
    result = batch(settings={"job": str(path), "keep": ["age"]}, python=HERE, trust=True)
    assert result.output == str(tmp_path / "variable.parquet")
    assert pq.read_table(result.output).column_names == ["age", "score"]


def test_secrets_of_settings_are_in_no_list_of_processes(score, table, monkeypatch):
    commands = []
    start = workflow.process.start
    monkeypatch.setattr(workflow.process, "start", lambda words, **more: commands.append(words) or start(words, **more))
    score(table(20), settings={"run-id": "a-secret"})
    assert commands
    assert "secret" not in str(commands)


@pytest.mark.parametrize(
    ("columns", "settings", "code", "told"),
    [
        ({"age": None}, {}, "table.columns", "age"),
        ({}, {"keep": ["id"]}, "table.columns", "id"),
        ({}, {"input": "none.parquet"}, None, "none.parquet"),
        ({}, {"on-bad-row": "fail", "input": "bad.parquet"}, None, "bad.parquet"),
    ],
)
def test_what_can_be_cured_ends_with_1(score, table, tmp_path, columns, settings, code, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 this is none")
    source = table(20, **columns) if "age" not in columns else table(20, years=[20.0], name="years.parquet")
    if "age" in columns:
        pq.write_table(pq.read_table(source).drop_columns(["age"]), source)
    error = refused(score, source, settings=settings)
    assert error.exit_code == ExitCode.FAILED
    assert code in {None, error.code}
    assert told in str(error)
    assert error.hint
    assert not (tmp_path / "out.parquet").exists()


def test_another_order_and_other_names_are_no_trouble(score, table, tmp_path):
    path = table(20, 30)
    found = pq.read_table(path)
    pq.write_table(found.select(["name", "age"]).rename_columns(["name", "years"]), path)
    score(path, settings={"rename": ["age=years", "score=twice"]})
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"twice": [40.0, 60.0]}


def test_an_output_that_is_there_is_not_touched(score, table, tmp_path):
    (tmp_path / "out.parquet").write_text("mine")
    error = refused(score, table(20))
    assert (error.code, error.exit_code) == ("output.exists", ExitCode.FAILED)
    assert (tmp_path / "out.parquet").read_text() == "mine"


def test_an_empty_table_has_an_empty_answer(score, table, tmp_path):
    assert score(table()).report["rows"]["read"] == 0
    assert pq.read_table(tmp_path / "out.parquet").schema.names == ["score"]


def test_bad_rows_go_beside_the_output(score, table, tmp_path):
    result = score(table(20, 13, 41), settings={"on-bad-row": "quarantine"})
    assert result.quarantine == str(tmp_path / "out.quarantine.parquet")
    assert pq.read_table(result.quarantine)["row"].to_pylist() == [1]
    assert pq.read_table(result.output)["score"].to_pylist() == [40.0, 82.0]
    assert result.report["rows"]["refused"] == 1


def test_too_many_bad_rows_fail(score, table, tmp_path):
    settings = {"on-bad-row": "quarantine", "max-bad-rows": "1"}
    error = refused(score, table(20, 13, 41, 13), settings=settings)
    assert error.exit_code == ExitCode.FAILED
    assert not (tmp_path / "out.parquet").exists()


def test_a_job_that_is_killed_says_so_and_leaves_nothing_half_written(score, table, tmp_path):
    with pytest.raises(ToolFailed) as caught:
        score(table(20, 99), settings={"workers": "1"})
    assert caught.value.code == "batch.ended"
    assert "by signal 9" in caught.value.message
    assert "memory" in caught.value.hint
    assert not (tmp_path / "out.parquet").exists()


def test_it_reports_how_far_it_is(score, table):
    events = []
    settings = {"batch-rows": "2", "workers": "1", "parameter": ["pause=0.2"]}
    score(table(*range(20, 32)), settings=settings, report=events.append)
    counted = [event for event in events if isinstance(event, Counted)]
    assert counted
    assert all((event.total, event.unit) == (12, "rows") for event in counted)
    assert [event.done for event in counted] == sorted(event.done for event in counted)


def test_an_interpreter_of_another_kind_is_said(score, table, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    with pytest.raises(EnvelopeError) as caught:
        batch(
            tmp_path / "ages",
            settings={"input": str(table(20)), "output": str(tmp_path / "out.parquet")},
            python=bare / "bin" / "python",
            trust=True,
        )
    assert (caught.value.code, caught.value.exit_code) == ("job.extra", ExitCode.TOOL)
    assert "pyarrow" in caught.value.message


@pytest.mark.parametrize(
    ("engine", "names", "options", "expected"),
    [
        ("python", ["a.parquet", "b.csv"], (), ()),
        ("python", ["delta:a", "b.csv"], (), ("delta",)),
        ("python", ["s3://bucket/a.parquet", "gs://bucket/b/"], (), ("gcs", "s3")),
        ("python", ["postgresql://u:p@h/db#t", "duckdb:///x.duckdb#t"], (), ("duckdb", "sql")),
        ("python", ["a.parquet", "b.csv"], ("s3",), ("s3",)),
    ],
)
def test_what_tables_need_is_known_by_their_spelling(engine, names, options, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.parquet").touch()
    (tmp_path / "a").mkdir()
    home = workflow.carrying.link(tmp_path / "carried", ["runtime", "scoring"])
    given = {"envelope": "e", "input": names[0], "output": names[1], "engine": engine}
    target = workflow._target(workflow._check(home, given), options)
    assert tuple(sorted(target.options)) == expected


def test_an_input_that_is_not_there_is_told_before_anything_takes_time(tmp_path):
    events = []
    settings = {"input": str(tmp_path / "typo.parquet"), "output": str(tmp_path / "out.parquet")}
    with pytest.raises(EnvelopeError, match=r"there is no file or folder .*typo\.parquet") as caught:
        batch(tmp_path / "no envelope either", settings=settings, report=events.append)
    assert (caught.value.code, caught.value.exit_code, events) == ("table.missing", ExitCode.FAILED, [])


def test_an_option_that_the_target_does_not_have_is_said(score, table):
    with pytest.raises(InvalidInput) as caught:
        score(table(20), options=["excel"])
    assert caught.value.code == "target.option"


def test_from_a_script(ages, table, tmp_path):
    output = tmp_path / "out.parquet"
    result = me.score_table(
        ages, table(20, 30), output, python=HERE, trust=True, keep=["name"], rename={"score": "twice"}, batch_rows=10
    )
    assert result.output == str(output)
    assert pq.read_table(output).column_names == ["name", "twice"]
    with pytest.raises(EnvelopeError) as caught:
        me.score_table(ages, "in.parquet", output, python=HERE, trust=True, kep=["name"])
    assert (caught.value.code, caught.value.hint) == ("job.unknown", "perhaps `keep`")


@pytest.mark.network
def test_a_clean_room_scores_without_the_packages_of_this_environment(ages, table, tmp_path):
    output = tmp_path / "out.csv"
    notes = []
    batch(ages, settings={"input": str(table(20)), "output": str(output)}, trust=True, report=notes.append)
    assert output.read_text().splitlines()[1:] == ["40.0"]
    assert not manifest.compare(ages)
    assert not [note for note in notes if isinstance(note, Note) and "trace" in note.text.lower()]


@pytest.fixture
def started(ages, table, tmp_path):
    """Start a job that takes long, as a user does, and wait until it has asked the model so often."""
    running = []

    def start(source, output, *words, times=1):
        command = [HERE.with_name("envelope"), "batch", ages, "--input", source, "--output", output]
        command += ["--python", HERE, "--trust", "--batch-rows", "1", "--workers", "1", *words]
        environ = {**os.environ, "TMPDIR": str(tmp_path)}  # what is killed leaves something there
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        running.append(process)
        for line in process.stderr:
            times -= "asked for" in line
            if not times:
                return process
        pytest.fail("it ended before it began")

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_command_is_interrupted_in_good_order(started, sign, table, tmp_path):
    process = started(table(*range(20, 80)), tmp_path / "out.parquet", "--parameter", "pause=1")
    os.kill(process.pid, sign)
    out, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert out == ""
    assert "error[interrupted]: the job was ended" in said
    assert "goes on" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.parquet").exists()


def test_a_job_ends_with_a_killed_command_and_goes_on_when_it_is_run_again(started, score, table, tmp_path):
    table(20, 21, name="in/1.parquet")
    table(30, 31, 32, 33, name="in/2.parquet")
    words = {"parameter": "pause=0.5", "batch-rows": "1", "workers": "1"}
    process = started(tmp_path / "in", tmp_path / "out/", "--parameter", words["parameter"], times=5)
    process.kill()
    process.communicate(timeout=60)  # ends when the job, which holds the same pipe, has ended
    assert not (tmp_path / "out").exists()
    words["parameter"] = [words["parameter"]]
    result = score(tmp_path / "in", "out", settings=words)
    assert result.report["parts"] == {"all": 2, "resumed": 1}
    assert result.report["rows"]["read"] == 4
    assert pq.read_table(tmp_path / "out")["score"].to_pylist() == [40.0, 42.0, 60.0, 62.0, 64.0, 66.0]
