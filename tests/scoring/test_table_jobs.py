"""Whole jobs between databases and Delta tables, with the real engine."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from scoring.databases import run, write

from model_envelope.scoring.location import read_location
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import Wanted

PEOPLE = pa.table({"id": range(500), "age": [float(n) for n in range(100, 600)], "name": ["x"] * 500})
BROKEN = PEOPLE.set_column(1, "age", pa.array([None, *(float(n) for n in range(101, 600))]))


def score(ages, *arguments, code=0):
    command = [sys.executable, "-m", "model_envelope.scoring", str(ages), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def rows(location):
    source = open_source(read_location(location))
    wanted = Wanted(dict.fromkeys(source.schema().names))
    return [row for part in source.parts() for batch in source.batches(part, wanted) for row in batch.data.to_pylist()]


def by_id(found):
    return sorted(found, key=lambda row: row["id"])


def test_from_a_table_to_a_table_and_from_there_to_delta(place, ages, tmp_path):
    write(place.sink("people"), PEOPLE, job=run("made"))
    options = ("--input-option", "key=id", "--input-option", "part_rows=100", "--output-option", "commit=parts")
    arguments = ("--input", f"{place.url}#people", "--output", f"{place.url}#scores", "--keep", "id", *options)
    assert score(ages, *arguments)["event"] == "done"
    expected = [{"id": n, "score": 2.0 * (n + 100)} for n in range(500)]
    assert by_id(rows(f"{place.url}#scores")) == expected
    assert score(ages, *arguments)["event"] == "done"
    assert len(rows(f"{place.url}#scores")) == 500
    delta = ("--input", f"{place.url}#people", "--output", f"delta:{tmp_path / 'out'}", "--keep", "id")
    score(ages, *delta)
    assert by_id(rows(f"delta:{tmp_path / 'out'}")) == expected


def test_bad_rows_go_to_a_table_of_the_same_database(place, ages):
    write(place.sink("people"), BROKEN, job=run("made"))
    score(
        ages, "--input", f"{place.url}#people", "--output", f"{place.url}#scores", "--keep", "id",
        "--on-bad-row", "quarantine", "--quarantine", f"{place.url}#bad",
    )  # fmt: skip
    assert len(rows(f"{place.url}#scores")) == 499
    (bad,) = rows(f"{place.url}#bad")
    assert "age" in json.loads(bad["problems"])[0]["path"]


@pytest.mark.parametrize("missing", ["table", "server"])
def test_what_fails_is_told_with_an_exit_code_and_without_the_password(ages, postgres, missing):
    url = postgres.url() if missing == "table" else "postgresql://owner:MARKsecret@127.0.0.1:1/db"
    told = score(
        ages, "--input", f"{url}#nothing", "--output", f"{url}#scores", code={"table": 1, "server": 4}[missing]
    )
    assert told["event"] == "failed"
    assert told["error"]["code"] == {"table": "table.missing", "server": "database.unreachable"}[missing]
    assert "MARK" not in json.dumps(told)
