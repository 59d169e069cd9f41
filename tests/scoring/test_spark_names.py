"""The names that Spark's programs have for the user and the host of a container, which nobody knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_envelope.scoring.spark.names import name_host, name_user

NOBODY = 4_242_424


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_who_has_a_name_keeps_it():
    environ = {}
    assert not name_user(environ)
    assert environ == {}


def test_who_has_none_gets_one_beside_those_that_are_known():
    environ = {"HOME": "/tmp", "LD_PRELOAD": "libother.so"}
    for _ in range(2):
        assert name_user(environ, user=NOBODY)
    assert environ["LD_PRELOAD"] == "libother.so libnss_wrapper.so"
    *known, own = Path(environ["NSS_WRAPPER_PASSWD"]).read_text().splitlines()
    assert own == f"spark:x:{NOBODY}:{os.getgid()}:spark:/tmp:/bin/sh"
    assert known == Path("/etc/passwd").read_text().splitlines()
    assert Path(environ["NSS_WRAPPER_GROUP"]).read_text() == Path("/etc/group").read_text()


def test_a_program_is_run_in_its_place():
    command = [sys.executable, "-m", "model_envelope.scoring.spark.names"]
    done = subprocess.run([*command, "sh", "-c", "exit 7"], capture_output=True, check=False)
    assert done.returncode == 7
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_a_host_that_leads_nowhere_is_the_loopback():
    environ = {}
    name_host(environ, "localhost")
    assert environ == {}
    name_host(environ, "no-such-host.invalid")
    assert environ == {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}
    environ = {"SPARK_LOCAL_IP": "192.0.2.1"}
    name_host(environ, "no-such-host.invalid")
    assert environ["SPARK_LOCAL_IP"] == "192.0.2.1"
