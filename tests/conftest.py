"""What all tests share: places of their own, the installed command, and what an engine's absence means.

A test marked ``engine`` is skipped with the reason where no Docker Engine answers, but on a machine that promises one
(``ENVELOPE_REQUIRE_ENGINE=1`` or ``CI=true``) its absence is a failure: nothing is skipped silently there.
"""

import fcntl
import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

pytest_plugins = ["engines", "goldens", "handmade", "jobs", "postgres", "sparks", "wheelhouses"]

# Continuous integration tries the same examples each time: it tells what a change broke, not what chance brought up.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

COMMAND = Path(sys.executable).with_name("envelope")


@pytest.fixture(scope="session", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's cache and state out of it: the cache is one for the whole run, clean rooms are dear to make."""
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENVELOPE_CACHE_DIR", str(run / "cache"))
        patch.setenv("ENVELOPE_STATE_DIR", str(run / "state"))
        # Threads of OpenMP that wait for each other spin: on busy cores a training of seconds takes minutes.
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("ENVELOPE_DEBUG", "FORCE_COLOR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
            patch.delenv(name, raising=False)
        yield run


class Envelope(Protocol):
    """Run the installed ``envelope`` as a user does; what it writes is captured, the exit code is the expected one."""

    def __call__(
        self, *arguments: str | Path, cwd: Path | None = None, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def envelope(places: Path) -> Envelope:
    def run(*arguments, cwd=None, code=0, env=None):
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}"
        return done

    return run


def pytest_configure() -> None:
    # A shell that starts a command in the background has it ignore Ctrl-C, and so would every program under test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests with the engine go one at a time, whichever worker has them: they look at what others would leave there."""
    if not item.get_closest_marker("engine"):
        return (yield)
    with Path(tempfile.gettempdir(), f"model-envelope-engine-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs an environment of its own unless it is named, as `make test-torch` and `test-corpus` do."""
    name = collection_path.name
    if name in ("with_torch", "corpus") and not any(name in Path(word).parts for word in config.args):
        return True
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not item.get_closest_marker("engine") or (reason := engine_missing()) is None:
        return
    if os.environ.get("ENVELOPE_REQUIRE_ENGINE") == "1" or os.environ.get("CI") == "true":
        pytest.fail(f"this machine must have a Docker Engine: {reason}", pytrace=False)
    pytest.skip(f"no Docker Engine: {reason}")


@functools.cache
def engine_missing() -> str | None:
    import docker

    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except docker.errors.DockerException as error:
        return str(error)
    return None
