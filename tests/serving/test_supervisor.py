"""Several workers: they share one port, and what happens to one is not the others' trouble."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from handmade import make_envelope
from services import MODEL, request, running, until

from model_envelope.runtime import signature as s
from model_envelope.serving.supervisor import FIRST_DELAY, LONGEST_DELAY

pytestmark = pytest.mark.slow

FLOAT, WHOLE, TEXT = s.Scalar("float64"), s.Scalar("int64"), s.Scalar("string")
METHODS = {
    "predict": s.Method((s.Parameter("x", FLOAT),), FLOAT),
    "pid": s.Method((), WHOLE),
    "do": s.Method((s.Parameter("what", TEXT),), WHOLE),
}
SLOW_TO_LOAD = """
import os
import time

def load(*_):
    while not os.path.exists(os.environ["TEST_GO"]):
        time.sleep(0.02)
    if os.path.exists(os.environ["TEST_GO"] + ".broken"):
        raise RuntimeError("no luck")
    return object.__new__(Model)

class Model:
    def __reduce__(self):
        return load, ()

    def pid(self):
        return os.getpid()
"""


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    return make_envelope(tmp_path_factory.mktemp("workers"), MODEL, METHODS, {}, name="shared")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, which the services of a test share with nobody."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def workers_of(folder):
    """Give the processes of the workers by their numbers, as the supervisor notes them."""
    return {int(path.stem.partition("-")[2]): int(path.read_text()) for path in folder.glob("*/worker-*.pid")}


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answering(service, rounds=60):
    return Counter(service.ask("/pid", {}) for _ in range(rounds))


def test_all_answer_on_one_port_and_end_together(envelope, temporary):
    with running(envelope, "--workers", "3") as service:
        workers = workers_of(temporary)
        assert sorted(workers) == [0, 1, 2]
        # Those that are busy leave new connections to the others.
        clients = [service.connect() for _ in range(12)]
        for client in clients:
            client.post("/pid", {})
        assert {int(client.answer()[2]) for client in clients} <= set(workers.values())
        for client in clients:
            client.close()
        until(lambda: len(answering(service)) > 1, "one of three answers everything")
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 0, service.log
    assert not any(lives(pid) for pid in workers.values())
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("how", ["kill -9", "end", "segfault"])
def test_a_worker_that_dies_is_replaced_while_the_others_go_on(envelope, temporary, how):
    with running(envelope, "--workers", "2") as service:
        before = workers_of(temporary)
        if how == "kill -9":
            os.kill(before[1], signal.SIGKILL)
            dead = before[1]
        else:
            with service.connect() as client, service.connect() as other:
                other.send(request("/pid", {}))
                client.post("/do", {"what": how})
                with pytest.raises((EOFError, ConnectionError)):
                    client.answer()
            until(lambda: any(not lives(pid) for pid in before.values()))
            (dead,) = [pid for pid in before.values() if not lives(pid)]
        for _ in range(20):
            assert service.ask("/pid", {}) != dead
        service.says("another takes its place")
        service.says("is ready", count=3)
        after = workers_of(temporary)
        assert len({*before.values(), *after.values()}) == 3
        until(lambda: set(answering(service)) == set(after.values()), "the new worker answers nothing")


def test_a_worker_that_hangs_ends_itself_and_is_replaced(envelope, temporary):
    with running(envelope, "--workers", "2", "--time-limit", "1") as service:
        before = workers_of(temporary)
        with service.connect() as client:
            client.post("/do", {"what": "hang"})
            assert client.answer()[0] == 503
        service.says("ended with exit code 1; another takes its place")
        service.says("is ready", count=3)
        assert len({*before.values(), *workers_of(temporary).values()}) == 3


def test_one_answers_probes_while_the_models_are_loaded(tmp_path, temporary, monkeypatch):
    go = tmp_path / "go"
    monkeypatch.setenv("TEST_GO", str(tmp_path / "here"))
    (tmp_path / "here").touch()  # the test itself pickles the model
    slow = make_envelope(tmp_path, SLOW_TO_LOAD, {"pid": METHODS["pid"]}, {}, name="slow")
    monkeypatch.setenv("TEST_GO", str(go))
    with running(slow, "--workers", "2", "--port", str(port := free_port()), ready=False) as service:
        service.url = f"http://127.0.0.1:{port}"
        until(lambda: answers(service, "/livez"))
        assert not answers(service, "/readyz")
        go.touch()
        service.wait_until_ready()
        assert {service.ask("/readyz")["ready"] for _ in range(20)} == {True}

        # A new worker takes nothing until it is ready.
        go.unlink()
        before = workers_of(temporary)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: workers_of(temporary).get(0, before[0]) != before[0])
        assert set(answering(service, 30)) == {before[1]}

        # It is tried again and again, at longer and longer distances.
        Path(f"{go}.broken").touch()
        go.touch()
        service.says("another takes its place in 1 s")
        service.says("another takes its place in 2 s")
        assert any("no luck" in line for line in service.log)
        assert FIRST_DELAY < LONGEST_DELAY == 30
        Path(f"{go}.broken").unlink()
        service.says("worker 0", count=4)
        until(lambda: len(answering(service)) == 2)


def answers(service, path):
    try:
        with urllib.request.urlopen(service.url + path, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_first_start_that_fails_ends_it_with_the_reason(tmp_path, temporary):
    wrong = make_envelope(tmp_path, MODEL, METHODS, {"predict": ({"x": 0.0}, 5.0)}, name="differs")
    with running(wrong, "--workers", "2", ready=False) as service:
        assert service.ended() == 3
        assert service.process.stdout.read() == ""
        assert any("error[replay.differs]" in line for line in service.log)
    assert list(temporary.iterdir()) == []


def test_a_worker_that_is_killed_before_it_is_ready_ends_the_first_start(tmp_path, temporary):
    ending = make_envelope(tmp_path, MODEL, METHODS, {"do": ({"what": "end"}, 1)}, name="ends")
    with running(ending, "--workers", "2", ready=False) as service:
        assert service.ended() == 1
        assert any("error[serve.worker]" in line and "exit code 9" in line for line in service.log)


def test_no_worker_outlives_its_supervisor(envelope, temporary):
    with running(envelope, "--workers", "2") as service:
        workers = workers_of(temporary)
        service.process.kill()
        until(lambda: not any(lives(pid) for pid in workers.values()), "workers stay behind")
    assert list(temporary.iterdir()) == []


def test_workers_that_do_not_end_are_killed(envelope, temporary):
    with running(envelope, "--workers", "2", "--grace", "1") as service:
        workers = workers_of(temporary)
        os.kill(workers[0], signal.SIGSTOP)
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 1
        assert any("killing what has not ended: worker 0" in line for line in service.log)
    until(lambda: not any(lives(pid) for pid in workers.values()))


def test_a_second_signal_ends_all_at_once(envelope, temporary):
    with running(envelope, "--workers", "2") as service:
        workers = workers_of(temporary)
        client = service.connect()
        client.post("/predict", {"x": 100.0})
        service.says("the model prints")
        service.process.send_signal(signal.SIGINT)
        service.says("finishing what is under way")
        time.sleep(0.5)
        service.process.send_signal(signal.SIGINT)
        assert service.ended() == 130
        client.close()
    until(lambda: not any(lives(pid) for pid in workers.values()))


def test_a_signal_to_all_at_once_cuts_nothing_off(envelope, temporary):
    """As from a terminal's Ctrl-C, or systemd, which tell each process of a group."""
    with running(envelope, "--workers", "2") as service:
        workers = workers_of(temporary)
        client = service.connect()
        client.post("/predict", {"x": 1.0})
        service.says("the model prints")
        for pid in (*workers.values(), service.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert client.answer()[0] == 200
        client.close()
        assert service.ended() == 0, service.log


def test_requests_go_on_while_a_worker_is_killed(envelope, temporary):
    with running(envelope, "--workers", "2") as service:
        stop, answered, failed = threading.Event(), [], []

        def ask():
            while not stop.is_set():
                try:
                    answered.append(service.ask("/predict", {"x": 0.0}))
                except (OSError, urllib.error.URLError) as error:
                    failed.append(error)

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        os.kill(workers_of(temporary)[0], signal.SIGKILL)
        service.says("is ready", count=3)
        before = len(answered)
        until(lambda: len(answered) > before + 50)
        stop.set()
        for client in clients:
            client.join(60)
        assert len(failed) <= len(clients), "more than what the dead worker had"


def test_it_starts_from_carried_source_too(envelope, temporary):
    """As ``envelope serve`` does it: workers are started in the way in which the supervisor was."""
    code = "import sys; from model_envelope.serving.__main__ import main; main()"
    command = [sys.executable, "-I", "-c", code, str(envelope), "--port", "0", "--workers", "2", "--supervised"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.read())["event"] == "ready"
        process.stdin.close()  # whoever started it has died
        process.stdin = None
        assert process.wait(60) == 0
        assert process.stderr.read()
