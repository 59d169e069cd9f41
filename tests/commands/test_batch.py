"""`envelope batch` as a user types it: what is printed where, and the options beside those of the job's own entry."""

import argparse
import json
import sys

import pyarrow.parquet as pq
import pytest
import typer.main

from model_envelope.commands.application import application
from model_envelope.foundation.progress import Counted, Done, Started
from model_envelope.scoring.settings import add_options, settings

HERE = ("--python", sys.executable, "--trust")


@pytest.fixture
def words(ages, table, tmp_path):
    return [ages, "--input", table(20, 30.5), "--output", tmp_path / "out.parquet", *HERE]


def test_where_the_answers_are_is_all_that_stands_on_standard_output(cli, words, tmp_path):
    ran = cli("batch", *words)
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'out.parquet'}\n")
    assert "Scored 2 rows" in ran.err
    assert "2 of 2 rows scored" in ran.err
    assert "asked for 2" in ran.err
    assert pq.read_table(tmp_path / "out.parquet")["score"].to_pylist() == [40.0, 61.0]


def test_the_report_tells_what_was_refused_and_where_it_is(cli, words, table, tmp_path):
    table(20, 13, 13)
    ran = cli("batch", *words, "--quarantine", tmp_path / "bad.jsonl")
    assert ran.code == 0
    assert "1 of 3 rows scored" in ran.err
    assert "2 refused" in ran.err
    assert str(tmp_path / "bad.jsonl") in ran.err
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2


def test_json(cli, words, tmp_path):
    result = cli("batch", *words, "--run-id", "today", "--json").result
    assert result["output"] == str(tmp_path / "out.parquet")
    assert result["run_id"] == "today"
    assert result["rows"]["read"] == result["rows"]["scored"] == 2
    assert result["outputs"]["output"]["rows"] == 2


def test_errors_are_told_as_the_job_tells_them(cli, words, table):
    table(20, name="other.parquet")
    ran = cli("batch", *words, "--keep", "id", "--json")
    assert (ran.code, ran.error["type"], ran.error["code"]) == (1, "InvalidTable", "table.columns")
    ran = cli("batch", *words, "--batch-rows", "0", "--workers", "no", "--json")
    assert (ran.code, ran.error["code"]) == (2, "job.settings")
    assert [problem["path"] for problem in ran.error["problems"]] == ["--workers", "--batch-rows"]


def test_a_broken_job_file_and_an_unknown_name_in_one(cli, words, tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("batch-row: 5\n")
    ran = cli("batch", *words, "--job", path)
    assert ran.code == 2
    assert "perhaps `batch-rows`" in ran.err
    path.write_text("keep: [\n")
    assert "no YAML: line 2" in cli("batch", *words, "--job", path).err


def test_an_unknown_format_names_what_there_is(cli, words):
    ran = cli("batch", *words, "--output", "answers.xlsx")
    assert ran.code == 2
    assert ".parquet" in ran.err


def test_nothing_but_options_is_needed_where_a_file_says_the_rest(cli, words, tmp_path):
    envelope, _, source, _, output, *rest = words
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"envelope": str(envelope), "input": str(source), "output": str(output)}))
    assert cli("batch", "--job", path, *rest).out == f"{output}\n"


def test_the_options_are_those_of_the_jobs_own_entry():
    group = typer.main.get_command(application)
    command = group.get_command(group.make_context("envelope", ["batch"], resilient_parsing=True), "batch")
    here = {name: item for item in command.params for name in item.opts}
    parser = argparse.ArgumentParser()
    add_options(parser)
    there = {name: item for item in parser._actions for name in item.option_strings if name not in {"-h", "--help"}}
    assert here.keys() - there.keys() == {"envelope", "--with", "--python", "--trust", "--json"}
    assert there.keys() <= here.keys()
    for item in settings():
        if item.name != "envelope":
            assert here[item.option].multiple is item.repeated
            assert item.help in here[item.option].help


def drawn(stream, monkeypatch, *events):
    from model_envelope.commands import steps

    monkeypatch.setattr(steps, "EVERY", 0.0)
    shown = steps.Steps(stream)
    for event in events:
        shown.report(event)
    shown.close()


EVENTS = (
    Started("batch", "Scoring in.parquet"),
    Counted("batch", 1_200_000, 5_000_000, "rows", 340_000.4, 11.2, "3 refused"),
    Counted("batch", 1_300_000, None, "rows", 0.0, None),
    Done("batch", "Scored 5,000,000 rows"),
)


def test_how_far_it_is_stands_in_plain_lines_where_no_terminal_is(monkeypatch, capsys):
    drawn(sys.stderr, monkeypatch, *EVENTS)
    first, second, done = capsys.readouterr().err.splitlines()
    assert first == "  1,200,000 of 5,000,000 rows, 340,000 rows/s, 11 s left, 3 refused"
    assert second == "  1,300,000 rows"
    assert done.startswith("✓ Scored 5,000,000 rows")


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    drawn(sys.stderr, monkeypatch, *EVENTS[:2])
    shown = capsys.readouterr().err
    assert "━" in shown
    assert "1,200,000 of 5,000,000 rows" in shown


@pytest.mark.parametrize(("seconds", "left"), [(59.6, "1 min 0 s"), (61, "1 min 1 s"), (3700, "1 h 1 min")])
def test_time_left_as_people_say_it(seconds, left):
    assert Counted("batch", 1, 2, "rows", 1.0, seconds).text.endswith(f"{left} left")
