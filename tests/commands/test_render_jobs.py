"""The command line for images of jobs, and for what runs them on a schedule."""

from pathlib import Path

import pytest

from model_envelope.foundation.lockfile import Lock


def test_options_of_a_target_are_named_in_any_order_and_once(cli, sealed, tmp_path):
    paths = {
        cli("render", sealed, "--target", "batch", *words, "-o", tmp_path).out.strip()
        for words in (("--with", "sql,delta"), ("--with", "delta", "--with", "sql"), ("--with", "delta, sql,delta"))
    }
    (path,) = paths
    assert path.endswith("-batch-delta-sql")
    names = Lock.parse(Path(path, "requirements.lock").read_bytes()).versions()
    assert {"deltalake", "sqlalchemy", "adbc-driver-postgresql", "pyarrow", "pyyaml"} <= names.keys()
    assert "duckdb" not in names
    assert 'io.modelenvelope.options="delta,sql"' in Path(path, "Dockerfile").read_text()


def test_an_option_that_the_target_does_not_have_is_told_with_those_that_it_has(cli, sealed, tmp_path):
    ran = cli("render", sealed, "--target", "batch", "--with", "delat", "-o", tmp_path, "--json")
    assert ran.code == 1
    assert ran.error["code"] == "target.option"
    assert "`delta`" in ran.error["hint"]


def test_files_are_filled_in_and_the_next_step_is_said(cli, sealed, tmp_path):
    words = ("--set", "input=/data/a=b.parquet", "--set", "output=/data/out", "-o", tmp_path)
    ran = cli("render", sealed, "--target", "cronjob", *words)
    path = ran.out.strip()
    assert f"kubectl apply --filename {path}/cronjob.yaml" in ran.err
    assert '"/data/a=b.parquet"' in Path(path, "cronjob.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("render", "--target", "cronjob"), 1, "target.setting"),
        (("render", "--target", "cronjob", "--set", "input"), 2, "usage.pair"),
        (("render", "--target", "batch", "--set", "input=x"), 1, "target.setting"),
        (("render", "--target", "airflow", "--pin"), 1, "target.no-image"),
        (("build", "--target", "airflow"), 1, "target.no-image"),
        (("lock", "--for", "cronjob"), 1, "target.no-image"),
    ],
)
def test_what_does_not_go_together_is_told(cli, sealed, tmp_path, monkeypatch, words, exit_code, code):
    monkeypatch.chdir(tmp_path)
    ran = cli(words[0], sealed, *words[1:], "--json")
    assert (ran.code, ran.error["code"]) == (exit_code, code)
