"""The service as a process, and clients that speak to it over bare sockets, as rudely as a test needs."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60
"""Seconds until a test gives up."""

MODEL = """
import os
import sys
import time

class Model:
    def predict(self, x):
        print("the model prints", flush=True)
        time.sleep(max(0, x))
        return x

    def pid(self):
        return os.getpid()

    def do(self, what):
        if what == "raise":
            raise ValueError("a secret in the message")
        if what == "exit":
            sys.exit(5)
        if what == "end":
            os._exit(9)
        if what == "segfault":
            import ctypes
            ctypes.string_at(0)
        if what == "hang":
            time.sleep(3600)
        return {"nan": float("nan"), "word": "three"}.get(what, 1)

    def columns(self, X):
        if len(X) == 3:
            return [1.0]
        return [float("nan") if value < 0 else value for value in X]
"""


class Service:
    """A service that runs: its process, where it is, and what it logs."""

    def __init__(self, process):
        self.process = process
        self.log = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = ""

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)

    def wait_until_ready(self):
        said = self.process.stdout.readline()
        assert said, "".join(self.log)
        self.url = json.loads(said)["url"]
        return self

    @property
    def address(self):
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def connect(self):
        return Client(self.address)

    def ask(self, path, body=None, *, timeout=PATIENCE):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.url + path, data, timeout=timeout) as response:
            return json.load(response)

    def says(self, text, count=1):
        """Wait until the log has a text so often."""
        until(lambda: sum(text in line for line in list(self.log)) >= count, f"it never said {text!r}: {self.log}")

    def ended(self):
        """Wait for the end, and give the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    @property
    def peak_memory(self):
        """The most memory that the process has had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


class Client:
    """A connection of HTTP/1.1 that says what it is told to, byte for byte."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def post(self, path, body, *headers):
        self.send(request(path, body, *headers))

    def answer(self, *, body=True):
        """Read a response: its status, its headers by their names in lower case, and its body."""
        line = self.file.readline()
        if not line:
            raise EOFError("the connection was closed without an answer")
        assert line.startswith(b"HTTP/1.1 "), line
        headers = {}
        while (header := self.file.readline().strip()) != b"":
            name, _, value = header.decode().partition(": ")
            headers[name.lower()] = value
        read = self.file.read(int(headers.get("content-length", 0))) if body else b""
        return int(line.split()[1]), headers, read

    def closed(self):
        """Whether the other side has closed the connection, with nothing more to say."""
        return self.file.read(1) == b""


def request(path, body, *headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(raw)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + raw


def get(path, *headers, verb="GET"):
    return "\r\n".join([f"{verb} {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


def until(true, message="it never came true"):
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


@contextmanager
def running(envelope, *options, ready=True, environment=None, before=()):
    """Run the service of an envelope on a free port."""
    command = [*before, sys.executable, "-m", "model_envelope.serving", str(envelope), "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    service = Service(process)
    try:
        yield service.wait_until_ready() if ready else service
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        service._reader.join(PATIENCE)
        process.stderr.close()
