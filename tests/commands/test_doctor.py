import gc
import sys

import pytest

from model_envelope.workflows import doctor as workflow

NAMES = [
    "python", "uv", "pip-tools", "clean rooms", "conda-lock", "conda", "docker engine", "buildkit client", "java",
    "cache", "templates",
]  # fmt: skip


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine on which no program is found and no engine answers."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CONDA_EXE", "MAMBA_EXE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr("model_envelope.dependencies.programs.find_uv", lambda: None)
    yield
    gc.collect()  # the docker package leaves the socket open that nobody answered at


def test_json_has_every_check(cli):
    ran = cli("doctor", "--json")
    assert ran.code == 0
    assert ran.result.keys() == {"checks"}
    assert [check["name"] for check in ran.result["checks"]] == NAMES
    assert all(check.keys() == {"name", "ok", "found", "advice"} for check in ran.result["checks"])


def test_text_has_one_line_a_check(cli):
    lines = [line for line in cli("doctor").out.splitlines() if not line.startswith(" ")]
    assert [line[9:24].strip() for line in lines] == NAMES
    assert {line[:7].strip() for line in lines} <= {"ok", "missing"}
    assert lines[0].startswith(f"ok       python           CPython {sys.version.split()[0]} at ")
    assert "flights" in lines[-1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_missing_comes_with_advice_and_is_no_error(cli, bare):
    ran = cli("doctor", "--json")
    assert ran.code == 0
    checks = {check["name"]: check for check in ran.result["checks"]}
    for name in ("uv", "conda", "docker engine", "buildkit client", "java"):
        assert not checks[name]["ok"], name
        assert checks[name]["advice"], name
    assert checks["clean rooms"]["found"] == "made with venv and pip"
    assert "missing  java             not installed\n" in cli("doctor").out


def test_a_program_that_does_not_work_is_missing(cli, tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'no memory' >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    check = workflow._java()
    assert not check.ok
    assert check.found == f"`{java}` does not work: no memory"


def test_conda_is_found_under_any_of_its_names(cli, tmp_path, monkeypatch):
    mamba = tmp_path / "mamba"
    mamba.write_text("#!/bin/sh\necho 'mamba 2.3.1'\n")
    mamba.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert workflow._conda().found == f"mamba 2.3.1 at {mamba}"
    monkeypatch.setattr("model_envelope.dependencies.programs.has_module", lambda name: False)
    check = workflow._conda_lock()
    assert (check.ok, check.found) == (False, "not installed")
    assert "model-envelope[conda-lock]" in check.advice


def test_the_size_of_the_cache(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / "rooms").mkdir(parents=True)
    (tmp_path / "cache" / "rooms" / "file").write_bytes(b"x" * 2_000_000)
    assert workflow._caches().found == f"2.0 MB at {tmp_path / 'cache'}; may be deleted at any time"
