import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from handmade import SCORER, SCORER_METHODS, SCORER_SAMPLES, make_envelope

from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.runtime import manifest
from model_envelope.runtime.errors import EnvelopeError, ExitCode
from model_envelope.workflows.serve import serve

HERE = Path(sys.executable)


class Stop(Exception):
    """Ends a service from within ``ready``, as an interrupt would."""


def asks(seen):
    def ready(result):
        with urllib.request.urlopen(f"{result.url}/later", b'{"x": 1}') as response:
            seen.append(json.load(response))
        raise Stop

    return ready


def test_an_interpreter_of_ones_own_serves_and_nothing_is_left_behind(scorer):
    seen, lines = [], []
    with pytest.raises(Stop):
        serve(scorer, port=0, python=HERE, trust=True, ready=asks(seen), log=lines.append)
    assert seen == [2]
    assert any("3 samples agree" in line for line in lines)
    assert not manifest.compare(scorer)


@pytest.mark.network
def test_a_clean_room_serves_without_the_packages_of_this_environment(scorer):
    seen = []
    with pytest.raises(Stop):
        serve(scorer, port=0, trust=True, ready=asks(seen))
    assert seen == [2]
    assert not manifest.compare(scorer)


def test_an_envelope_from_elsewhere_needs_trust(scorer):
    with pytest.raises(Refused) as caught:
        serve(scorer, port=0, python=HERE)
    assert caught.value.code == "trust.unknown"


def test_a_port_in_use_is_told_before_anything_takes_time(scorer):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidInput) as caught:
        serve(scorer, port=taken.getsockname()[1], trust=True)
    assert caught.value.code == "serve.port-in-use"
    assert caught.value.exit_code == ExitCode.FAILED


def test_an_address_of_another_machine_is_said(scorer):
    with pytest.raises(InvalidInput) as caught:
        serve(scorer, host="203.0.113.1", port=0, trust=True)
    assert caught.value.code == "serve.address"


def test_answers_that_differ_are_told_as_the_service_tells_them(tmp_path):
    wrong = {**SCORER_SAMPLES, "greet": ({"name": "you"}, "goodbye you")}
    with pytest.raises(EnvelopeError) as caught:
        serve(make_envelope(tmp_path, SCORER, SCORER_METHODS, wrong), port=0, python=HERE, trust=True)
    assert caught.value.code == "replay.differs"
    assert caught.value.exit_code == ExitCode.NO
    assert [problem.path for problem in caught.value.problems] == ["greet: $"]


def test_an_interpreter_without_the_servers_packages_is_said(scorer, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    with pytest.raises(EnvelopeError) as caught:
        serve(scorer, port=0, python=bare / "bin" / "python", trust=True)
    assert caught.value.code == "serve.missing"


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_the_address_and_ends_well(scorer, sign):
    command = [HERE.with_name("envelope"), "serve", scorer, "--port", "0", "--python", HERE, "--trust"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/readyz") as response:
            assert response.status == 200
        os.kill(process.pid, sign)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/readyz")


def test_a_service_does_not_outlive_a_killed_command(scorer, tmp_path):
    command = [HERE.with_name("envelope"), "serve", scorer, "--port", "0", "--python", HERE, "--trust"]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        url = process.stdout.readline().strip()
        process.kill()
        process.communicate(timeout=30)  # ends when the service, which holds the same pipe, has ended
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/livez").close()
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the service is still there")
