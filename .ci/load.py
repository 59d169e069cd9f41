"""A client that asks as fast as one core can, and the servers that it asks: what `bench-service` and `soak` share.

The client is one loop over epoll and keep-alive sockets: it costs some 30 microseconds a request, so that what is
measured is the server. Server and client each have a core of their own, and numeric libraries one thread.
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
ARROW = "application/vnd.apache.arrow.stream"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PATIENCE = 60.0
"""Seconds in which a server must be ready, and an answer be there."""

_length = re.compile(rb"(?i)\r\ncontent-length: *(\d+)").search
Check = Callable[[int, int, bytes], None]
"""Takes the number of the request among those that are asked, the status and the body; raises if it is not right."""


def cores() -> tuple[int, int]:
    """Give the server's core and the client's."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        sys.exit("Two cores are needed: one for the server, one for the client.")
    return mine[0], mine[1]


def request(path: str, body: bytes, content_type: str = "application/json", accept: str = "*/*") -> bytes:
    """Write a request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Server:
    """A server that runs on its own core, and where it listens."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def memory(self) -> tuple[float, float]:
        """Give the resident memory and the proportional share of it, in MB."""
        return memory(self.process.pid)


def memory(pid: int) -> tuple[float, float]:
    """Give what a process has in memory, and its share where pages are shared with others, in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    resident, share = (re.search(rf"^{name}: +(\d+) kB", text, re.MULTILINE) for name in ("Rss", "Pss"))
    assert resident, text
    assert share, text
    return int(resident[1]) / 1000, int(share[1]) / 1000


def environment(**more: str) -> dict[str, str]:
    """Give the variables of a server: nothing of the caller's Python, bytecode is cached, libraries have one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, **dict.fromkeys(ONE_THREAD, "1"), **more}


def begin(
    command: Sequence[str], core: int, variables: Mapping[str, str], log: Path, **pipes: int
) -> subprocess.Popen[str]:
    """Start a process on a core; what it says on standard error goes to a file."""
    with log.open("w") as errors:
        return subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command], env=variables, stderr=errors, text=True, **pipes
        )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process with SIGTERM, and by force if that does not help."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def service(envelope: Path, core: int, log: Path, *options: str) -> Iterator[Server]:
    """Serve an envelope, as an image does; it is ready when it says so."""
    command = [sys.executable, "-m", "model_envelope.serving", str(envelope), "--host", HOST, "--port", "0", *options]
    process = begin(command, core, environment(), log, stdout=subprocess.PIPE)
    with ended(process):
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"The service did not start:\n{log.read_text()}")
        yield Server(process, int(json.loads(line)["url"].rpartition(":")[2]), log)


@contextmanager
def handwritten(app: str, model: Path, core: int, log: Path, *options: str) -> Iterator[Server]:
    """Serve a model with a hand-written app of the folder beside this file; it is ready when it listens."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    folder = Path(__file__).with_name("handwritten")
    command = [sys.executable, "-m", "uvicorn", f"{app}:app", "--app-dir", str(folder), "--host", HOST]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", *options]
    # What a pickle was made of lies beside it.
    variables = environment(MODEL=str(model), PYTHONPATH=str(model.parent))
    process = begin(command, core, variables, log, stdout=subprocess.DEVNULL)
    with ended(process):
        until = time.monotonic() + PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"The hand-written app did not start:\n{log.read_text()}")
            time.sleep(0.005)
        yield Server(process, port, log)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@dataclass
class Seen:
    """What a client saw: seconds from request to answer, sorted, and for how long it asked."""

    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, part: float) -> float:
        """Give the seconds that this part of the requests took at most."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * part))]


@dataclass
class _Connection:
    socket: socket.socket
    number: int = 0
    began: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    got: bytes = b""


def ask(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    *,
    warm_up: float = 0.5,
    check: Check | None = None,
    choose: Callable[[int], int] | None = None,
    every_second: Callable[[], None] = lambda: None,
) -> Seen:
    """Ask over so many connections, each as soon as its last answer is there; each answer is checked.

    ``choose`` says which request the n-th is (one after the other without it). The last answers are waited for, and
    do not count. Without ``check``, an answer other than 200 ends it all.
    """
    client = _Client(requests, choose or (lambda asked: asked % len(requests)), check or _must_be_200)
    try:
        for _ in range(clients):
            client.connect(port)
        return client.run(warm_up, seconds, every_second)
    finally:
        client.close()


class _Client:
    """The loop over connections."""

    def __init__(self, requests: Sequence[bytes], choose: Callable[[int], int], check: Check) -> None:
        self.requests, self.choose, self.check = requests, choose, check
        self.poll = select.epoll()
        self.connections: dict[int, _Connection] = {}
        self.latencies: list[float] = []
        self.asked = 0
        self.counts_from = self.ends = 0.0

    def connect(self, port: int) -> None:
        """Open one more connection."""
        made = socket.create_connection((HOST, port), PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        self.connections[made.fileno()] = _Connection(made)
        self.poll.register(made, select.EPOLLIN)

    def close(self) -> None:
        """Close what is open."""
        for connection in self.connections.values():
            connection.socket.close()
        self.poll.close()

    def run(self, warm_up: float, seconds: float, every_second: Callable[[], None]) -> Seen:
        """Ask until the time is over, and wait for the last answers."""
        begun = heard = time.perf_counter()
        self.counts_from, self.ends = begun + warm_up, begun + warm_up + seconds
        next_second = begun + 1
        for connection in self.connections.values():
            self.fire(connection)
        while self.connections:
            events = self.poll.poll(1)
            now = time.perf_counter()
            heard = now if events else heard
            if now - heard > PATIENCE:
                raise TimeoutError(f"{len(self.connections)} requests got no answer within {PATIENCE:.0f} s")
            if now > next_second:
                next_second = now + 1
                every_second()
            for descriptor, event in events:
                if event & select.EPOLLOUT:
                    self.go_on_sending(self.connections[descriptor])
                else:
                    self.receive(descriptor)
        return Seen(sorted(self.latencies), seconds)

    def fire(self, connection: _Connection) -> None:
        """Send the next request, or as much of it as the socket takes."""
        connection.number = self.choose(self.asked)
        self.asked += 1
        message = self.requests[connection.number]
        connection.began = time.perf_counter()
        sent = connection.socket.send(message)
        if sent < len(message):
            connection.unsent = memoryview(message)[sent:]
            self.poll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)

    def go_on_sending(self, connection: _Connection) -> None:
        """Send more of a request that the socket did not take at once."""
        connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
        if not connection.unsent:
            self.poll.modify(connection.socket, select.EPOLLIN)

    def receive(self, descriptor: int) -> None:
        """Take in what there is of an answer; once it is whole, check it and ask again."""
        connection = self.connections[descriptor]
        chunk = connection.socket.recv(1 << 18)
        got = connection.got + chunk if connection.got else chunk
        end = got.find(b"\r\n\r\n")
        if end < 0 or len(got) < end + 4 + _body_length(got, end):
            if not chunk:
                raise ConnectionError(f"the server closed a connection after {got[:500]!r}")
            connection.got = got
            return
        connection.got = b""
        answered = time.perf_counter()
        if self.counts_from < answered <= self.ends:
            self.latencies.append(answered - connection.began)
        self.check(connection.number, int(got[9:12]), got[end + 4 :])
        if answered < self.ends:
            self.fire(connection)
        else:
            self.poll.unregister(connection.socket)
            self.connections.pop(descriptor).socket.close()


def _body_length(got: bytes, end: int) -> int:
    found = _length(got, 0, end)
    if found is None:
        raise ValueError(f"an answer without Content-Length: {got[:500]!r}")
    return int(found[1])


def _must_be_200(_: int, status: int, body: bytes) -> None:
    if status != 200:
        raise ValueError(f"answered with {status}: {body[:500]!r}")


def ask_once(port: int, message: bytes) -> tuple[int, bytes]:
    """Ask one request; give the status and the body."""
    answers: list[tuple[int, bytes]] = []
    ask(port, [message], 1, 0, warm_up=0, check=lambda _, status, body: answers.append((status, body)))
    return answers[0]
