"""The service as a process: how it starts, says so, and ends."""

import json
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from handmade import make_envelope
from serving_process import started

from model_envelope.runtime import signature as s

SLOW = """
import time

class Model:
    def predict(self, x):
        print("the model prints")
        time.sleep(x)
        return x
"""
SLOW_METHODS = {"predict": s.Method((s.Parameter("x", s.Scalar("float64")),), s.Scalar("float64"))}


def wait_for(lines, text):
    assert any(text in line for line in lines), f"it never said {text!r}"


def ask(url, body):
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=60) as response:
        return json.load(response)


def test_it_says_when_it_is_ready_and_ends_with_0_on_sigterm(scorer):
    with started(scorer) as process:
        event = json.loads(process.stdout.readline())
        assert event["event"] == "ready"
        assert ask(event["url"] + "/later", {"x": 1}) == 2
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        assert "3 samples agree" in log


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished_and_probes_answer_meanwhile(tmp_path, sign):
    with started(make_envelope(tmp_path, SLOW, SLOW_METHODS, {}, name="slow")) as process:
        url = json.loads(process.stdout.readline())["url"]
        answers = []
        client = threading.Thread(target=lambda: answers.append(ask(url + "/predict", {"x": 3.0})))
        client.start()
        wait_for(process.stderr, "the model prints")
        with urllib.request.urlopen(url + "/livez", timeout=60) as response:
            assert response.status == 200
        assert answers == [], "the probe answered only after the model"
        process.send_signal(sign)
        client.join(60)
        assert answers == [3.0]
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_model_that_hangs_does_not_keep_it_from_ending(tmp_path):
    with started(make_envelope(tmp_path, SLOW, SLOW_METHODS, {}, name="slow"), "--grace", "1") as process:
        url = json.loads(process.stdout.readline())["url"]

        def hang():
            with pytest.raises((OSError, urllib.error.URLError)):
                ask(url + "/predict", {"x": 300.0})

        client = threading.Thread(target=hang)
        client.start()
        wait_for(process.stderr, "the model prints")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert time.monotonic() - began < 30
        client.join(60)


def test_a_port_in_use_is_said_plainly(scorer):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(scorer, "--port", str(port)) as process:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert f"error[serve.port-in-use]: port {port} on 127.0.0.1 is in use" in err
    assert "Traceback" not in err


def test_a_tampered_envelope_is_refused_with_the_file_named(scorer):
    (scorer / "model" / "model.pkl").write_bytes(b"x")
    with started(scorer) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "error[envelope.tampered]" in err
    assert "model/model.pkl: found changed" in err


def test_answers_that_differ_end_it_with_3(tmp_path):
    with started(
        make_envelope(tmp_path, SLOW, SLOW_METHODS, {"predict": ({"x": 0.0}, 5.0)}, name="differs")
    ) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert out == ""
    assert "error[replay.differs]" in err


def test_a_body_without_end_is_answered_with_413_and_not_kept(scorer):
    with started(scorer, "--max-body", "1000000") as process:
        url = json.loads(process.stdout.readline())["url"]
        chunks = (b"0" * 100_000 for _ in range(500))
        request = urllib.request.Request(f"{url}/predict", chunks, {"Transfer-Encoding": "chunked"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        assert caught.value.code == 413
        assert json.load(caught.value)["code"] == "request.too-large"
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
        assert peak < 100_000


def test_its_log_is_json_unless_text_is_asked_for(scorer):
    for options, is_json in (((), True), (("--log-format", "text"), False)):
        with started(scorer, *options) as process:
            assert json.loads(process.stdout.readline())["event"] == "ready"
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
        (line,) = [line for line in log.splitlines() if "samples agree" in line]
        assert line.startswith('{"timestamp":') is is_json
        if is_json:
            assert json.loads(line)["level"] == "INFO"
