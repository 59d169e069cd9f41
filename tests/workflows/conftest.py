"""What the tests of workflows share."""

import functools
import http.server
import threading

import pytest
from conda_machine import Quiet, enter, list_wheels, make, wheel


@pytest.fixture
def index(wheelhouse, monkeypatch):
    """What pip's settings name: a folder of wheels, and nothing else."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse.folder))
    return wheelhouse


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine with conda, under the name of micromamba."""
    machine = make(tmp_path_factory.mktemp("conda"))
    machine.call("micromamba")
    return machine


@pytest.fixture(scope="module")
def conda_index(machine):
    """An index that has what pip installed there."""
    folder = machine.wheels / "simple" / "tacked"
    folder.mkdir(parents=True)
    wheel(folder, "tacked", "0.5", "OFFSET = 0.25\n")
    list_wheels(folder)
    handler = functools.partial(Quiet, directory=str(machine.wheels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


@pytest.fixture
def here(machine, conda_index, tmp_path, monkeypatch):
    """This process, on that machine."""
    enter(machine, monkeypatch, tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", conda_index)
    return machine
