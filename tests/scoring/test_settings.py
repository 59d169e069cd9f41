"""The settings of a job: from options, variables and a file, and refused all at once where they make no sense."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

import pytest

from model_envelope.runtime.errors import ExitCode
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import Location
from model_envelope.scoring.settings import add_options, read_job, settings
from model_envelope.scoring.tables import InvalidJob

LEAST = ("flights", "--input", "in.parquet", "--output", "out.parquet")


def read(*words, least=LEAST, **environment):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_job(parser.parse_args([*least, *words]), environment)


def refused(*words, least=LEAST, **environment):
    with pytest.raises(InvalidJob) as caught:
        read(*words, least=least, **environment)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.code == "job.settings"
    return caught.value.problems


@pytest.fixture
def job_file(tmp_path):
    def write(content, name="job.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def test_what_is_not_said_is_as_the_job_has_it():
    assert read() == Job(Path("flights"), Location("parquet", "in.parquet"), Location("parquet", "out.parquet"))


EVERY = {
    "envelope": ("flights", Path("flights")),
    "input": ("delta:in", Location("delta", "in", options={"version": "3"})),
    "output": ("postgresql://u:p@h/db#answers", Location("sql", "postgresql://u:p@h/db", "answers", {"rows": "9"})),
    "method": ("predict_proba", "predict_proba"),
    "engine": ("spark", "spark"),
    "keep": (["id", "day"], ("id", "day")),
    "rename": ({"age": "years"}, {"age": "years"}),
    "parameter": ({"k": 3, "deep": {"a": [None]}}, {"k": 3, "deep": {"a": [None]}}),
    "where": ("year == 2013", "year == 2013"),
    "by": (["day"], ("day",)),
    "mode": ("append", "append"),
    "partition-by": (["origin"], ("origin",)),
    "input-option": ({"version": "3"}, None),
    "output-option": ({"rows": "9"}, None),
    "workers": (2, 2),
    "batch-rows": (1000, 1000),
    "on-bad-row": ("quarantine", "quarantine"),
    "quarantine": ("bad.jsonl", Location("jsonl", "bad.jsonl")),
    "max-bad-rows": (0.01, 0.01),
    "inference-log": ("log/", Location("parquet", "log/")),
    "log-without": (["name"], ("name",)),
    "log-hashed": (["plate"], ("plate",)),
    "report": ("run.json", Path("run.json")),
    "run-id": ("nightly-1", "nightly-1"),
}
FIELDS = {"parameter": "parameters", "inference-log": "log"}
EXPECTED = {FIELDS.get(name, name).replace("-", "_"): value for name, (_, value) in EVERY.items() if value is not None}


def as_words(name, value):
    if isinstance(value, dict):
        said = [f"{key}={json.dumps(item) if name == 'parameter' else item}" for key, item in value.items()]
        return [word for item in said for word in (f"--{name}", item)]
    if isinstance(value, list):
        return [word for item in value for word in (f"--{name}", item)]
    return [str(value)] if name == "envelope" else [f"--{name}", str(value)]


def test_every_setting_of_the_table_is_tried_here_and_every_field_of_the_job_can_be_said():
    assert EVERY.keys() == {item.name for item in settings()}
    assert EXPECTED.keys() == {item.name for item in fields(Job)}


@pytest.mark.parametrize("by", ["options", "variables", "yaml", "json"])
def test_every_setting_can_be_said_in_every_way(by, job_file):
    said = {name: value for name, (value, _) in EVERY.items()}
    if by == "options":
        words = [word for name, value in said.items() for word in as_words(name, value)]
        job = read(*words, least=())
    elif by == "variables":
        texts = {
            name: json.dumps(value) if isinstance(value, list | dict) else str(value) for name, value in said.items()
        }
        job = read(least=(), **{f"ENVELOPE_{name.replace('-', '_').upper()}": text for name, text in texts.items()})
    elif by == "json":
        job = read("--job", job_file(said, "job.json"), least=())
    else:
        yaml = pytest.importorskip("yaml")
        job = read(least=(), ENVELOPE_JOB=job_file(yaml.safe_dump(said)))
    assert vars(job) == EXPECTED


def test_an_option_wins_over_a_variable_and_this_over_the_file(job_file):
    path = job_file("method: file\nrun-id: file\nmode: append\n")
    job = read("--job", path, "--method", "option", ENVELOPE_METHOD="variable", ENVELOPE_RUN_ID="variable")
    assert (job.method, job.run_id, job.mode) == ("option", "variable", "append")


def test_variables_hold_several_values_with_commas_and_an_empty_one_is_none():
    job = read(ENVELOPE_KEEP="id, day", ENVELOPE_RENAME="a=b,c=d", ENVELOPE_PARAMETER="k=3", ENVELOPE_METHOD=" ")
    assert (job.keep, job.rename, job.parameters, job.method) == (("id", "day"), {"a": "b", "c": "d"}, {"k": 3}, "")


def test_names_of_a_file_may_have_underscores_and_one_name_needs_no_list(job_file):
    job = read("--job", job_file("batch_rows: 5\nkeep: id\ninput_option: {header: true, skip: 2}\n"))
    assert (job.batch_rows, job.keep, job.input.options) == (5, ("id",), {"header": "true", "skip": "2"})


def test_workers_are_found_out_unless_they_are_said():
    assert read("--workers", "auto").workers == 0
    assert read("--workers", "4").workers == 4


NONSENSE = {
    "engine": ["dask", "PYTHON"],
    "mode": ["replace"],
    "on-bad-row": ["skip"],
    "workers": ["0", "513", "half", "1.5", "-1"],
    "batch-rows": ["0", "-5", "1.5", "\u0661", "9" * 5000, "many"],
    "max-bad-rows": ["-1", "1.5", "nan", "inf", "1%", "some"],
    "rename": ["age", "=years"],
    "parameter": ["k", "k=three", "=3", "k={"],
    "input-option": ["delimiter"],
    "input": ["table.xlsx", "table.json", "rows.db"],
}


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in NONSENSE.items() for word in words])
def test_nonsense_is_refused_by_name_wherever_it_comes_from(name, word):
    variable = f"ENVELOPE_{name.replace('-', '_').upper()}"
    together = ["--on-bad-row=quarantine"] if name == "max-bad-rows" else []
    (problem,) = refused(*together, f"--{name}={word}")
    assert problem.path == f"--{name}"
    assert word[:30] in problem.found
    assert problem.expected
    least = [item for item in LEAST if name != "input" or item not in {"--input", "in.parquet"}]
    (problem,) = refused(*together, least=least, **{variable: word})
    assert problem.path == variable


TYPES = {
    "keep: 5": "a name",
    "keep: [a, 3]": "a name",
    "keep: {a: b}": "a name",
    "method: [predict]": "a text",
    "method: true": "a text",
    "run-id: 7": "a text",
    "where: 2013-01-01": "a text",
    "batch-rows: many": "a whole number",
    "batch-rows: true": "a whole number",
    "workers: 1.5": "a whole number",
    "rename: [a=b]": "NAME=VALUE",
    "rename: {a: [b]}": "NAME=VALUE",
    "parameter: {day: 2013-01-01}": "NAME=JSON",
}


@pytest.mark.parametrize("line", TYPES)
def test_values_of_a_file_have_their_types(line, job_file):
    path = job_file(line)
    (problem,) = refused("--job", path)
    assert problem.path == f"{path}: {line.partition(':')[0]}"
    assert problem.expected.startswith(TYPES[line])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("keep: [a\nmode: error\n", "no YAML: line 2, column 5"),
        ("\tkeep: a\n", "no YAML: line 1"),
        ("keep: a\nmethod: x\nkeep: b\n", "`keep` stands there twice"),
        ('{"keep": 1, "keep": 2}', "`keep` stands there twice"),
        ("", "nothing is in it"),
        ("{}", "nothing is in it"),
        ("- keep\n", "a list"),
        ("keep\n", "a text"),
        ("!!python/object/apply:os.system [ls]\n", "no YAML"),
        ("[" * 5000, "nested too deep"),
    ],
)
def test_a_broken_file_is_told_with_the_place(content, told, job_file):
    path = job_file(content)
    (problem,) = refused("--job", path)
    assert (problem.path, problem.code) == (path, "job.file")
    assert told in problem.found


def test_a_broken_json_file_a_missing_one_and_one_that_is_no_text(job_file, tmp_path):
    (problem,) = refused("--job", job_file("{", "job.json"))
    assert "line 1 column 2" in problem.found
    (problem,) = refused("--job", str(tmp_path / "none.yaml"))
    assert problem.found == "No such file or directory"
    (tmp_path / "job.yaml").write_bytes(b"keep: \xff")
    (problem,) = refused("--job", str(tmp_path / "job.yaml"))
    assert problem.found == "byte 6 is not UTF-8"


def test_an_unknown_name_suggests_the_nearest(job_file):
    path = job_file("parameters: {k: 3}\nQuarantin: bad\nzzz: 1\n")
    first, second, third = refused("--job", path)
    assert (first.path, first.expected) == (f"{path}: parameters", "perhaps `parameter`")
    assert second.expected == "perhaps `quarantine`"
    assert third.expected.startswith("one of envelope, input, output")


def test_all_that_is_wrong_is_told_at_once(job_file):
    path = job_file("mod: append\nbatch-rows: 0\n")
    problems = refused("--job", path, "--workers", "none", least=("flights",), ENVELOPE_MODE="maybe")
    assert {problem.path for problem in problems} == {
        *(f"{path}: mod", f"{path}: batch-rows", "--workers", "ENVELOPE_MODE", "--input", "--output")
    }


def test_what_does_not_go_together_is_said():
    assert [problem.path for problem in refused("--max-bad-rows", "3")] == ["--max-bad-rows"]
    assert [problem.path for problem in refused("--on-bad-row", "fail", "--quarantine", "bad/")] == ["--quarantine"]
    assert [problem.path for problem in refused("--log-hashed", "name")] == ["--log-hashed"]


@pytest.mark.parametrize(
    ("output", "quarantine"),
    [
        ("answers.parquet", Location("parquet", "answers.quarantine.parquet")),
        ("s3://bucket/day/answers.parquet", Location("parquet", "s3://bucket/day/answers.quarantine.parquet")),
        ("/data/answers/", Location("parquet", "/data/answers.quarantine/")),
        ("answers", Location("parquet", "answers.quarantine")),
        ("answers.csv.gz", Location("jsonl", "answers.quarantine.jsonl")),
        ("delta:tables/answers.v2", Location("delta", "tables/answers.v2.quarantine")),
        ("sqlite:///db#answers", Location("sql", "sqlite:///db", "answers_quarantine")),
    ],
)
def test_bad_rows_go_beside_the_output_unless_it_is_said_where(output, quarantine):
    job = read("--on-bad-row", "quarantine", "--output", output)
    assert job.quarantine == quarantine


def test_a_quarantine_that_is_named_is_wanted():
    job = read("--quarantine", "bad.jsonl", "--max-bad-rows", "100")
    assert (job.on_bad_row, job.max_bad_rows) == ("quarantine", 100)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@host:5432/db?password=secret#t", "postgresql://host:5432/db#t"),
        ("sqlite:///file.db#t", "sqlite:///file.db#t"),
        ("s3://bucket/a.parquet?X-Amz-Signature=secret", "s3://bucket/a.parquet"),
        ("/data/a.parquet", "/data/a.parquet"),
    ],
)
def test_tables_are_shown_without_credentials(url, shown):
    assert read("--input", url).input.shown == shown
