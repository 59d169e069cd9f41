"""A PostgreSQL server for tests: Debian's, run by a user without rights, on a free port of this machine.

A test that needs it is skipped with the reason where the programs are missing, but fails on a machine that promises
them (``ENVELOPE_REQUIRE_ENGINE=1`` or ``CI=true``).
"""

import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest

PASSWORD = "MARK p@ss/w:ord"  # no test may show it, nor MARK


class Server:
    """A cluster, and the process that serves it."""

    def __init__(self, programs, folder):
        self._programs = programs
        self._folder = folder
        self._port = _free_port()
        self._process = None
        # The server refuses to run as root.
        self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}

    def url(self, database="postgres", *, scheme="postgresql"):
        return f"{scheme}://owner:{quote(PASSWORD, safe='')}@127.0.0.1:{self._port}/{database}"

    def make(self):
        secret = self._folder / "secret"
        secret.write_text(PASSWORD)
        if self._user:
            for path in (self._folder, secret):
                shutil.chown(path, "nobody", "nogroup")
        self._run(
            "initdb", "--pgdata", self._data, "--username=owner", "--auth=scram-sha-256", f"--pwfile={secret}",
            "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip

    def start(self):
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "max_connections": 30,
            "shared_buffers": "32MB",
        }
        settings = [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *settings],
                stdout=subprocess.DEVNULL, stderr=log, cwd=self._folder, **self._user,
            )  # fmt: skip
        self._run("pg_isready", "--host=127.0.0.1", f"--port={self._port}", "--timeout=60", until=True)

    def stop(self, number=signal.SIGINT):
        """SIGINT throws clients out; SIGQUIT lets go of everything, as a crash does."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self._folder)

    def sql(self, statement, database="postgres"):
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.url(database), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def _data(self):
        return self._folder / "data"

    def _run(self, program, *arguments, until=False):
        for _ in range(600):
            done = subprocess.run(
                [self._programs / program, *arguments],
                capture_output=True, text=True, check=False, cwd=self._folder, **self._user,
            )  # fmt: skip
            if done.returncode == 0:
                return
            if not until or self._process.poll() is not None:
                break
        pytest.fail(f"{program}: {done.stdout}{done.stderr}{(self._folder / 'log').read_text()}", pytrace=False)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _programs():
    """Debian keeps the programs of each version in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    at = found[-1] if found else shutil.which("postgres")
    return Path(at).resolve().parent if at else None


@functools.cache
def shared_server():
    """Start the server of this process of tests; it ends with the session."""
    programs = _programs()
    if programs is None:
        reason = "no PostgreSQL server: apt-get install postgresql"
        if os.environ.get("ENVELOPE_REQUIRE_ENGINE") == "1" or os.environ.get("CI") == "true":
            pytest.fail(f"this machine must have one: {reason}", pytrace=False)
        pytest.skip(reason)
    server = Server(programs, Path(tempfile.mkdtemp(prefix="pg-")))
    server.make()
    server.start()
    return server


def pytest_sessionfinish():
    if shared_server.cache_info().currsize:
        shared_server().remove()


@pytest.fixture
def postgres():
    """The server with nothing in it but an empty schema `public`."""
    server = shared_server()
    # What a test that failed has left open would keep its tables locked.
    server.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    for (name,) in server.sql("SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_|^information_'"):
        server.sql(f'DROP SCHEMA "{name}" CASCADE')
    server.sql("CREATE SCHEMA public")
    return server


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def place(request, tmp_path):
    """A database of each kind, empty."""
    from scoring.databases import Place

    if request.param == "postgresql":
        return Place("postgresql", request.getfixturevalue("postgres").url())
    return Place(request.param, f"{request.param}:///{tmp_path / 'data base.db'}".replace(" ", "%20"))
