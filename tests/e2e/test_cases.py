"""The road from pickle to container, once for each folder beside this file that holds a ``case.py``.

A case names its methods, the files that it makes and a function ``make`` which makes them; ``check`` asks the running
container what the sealed samples do not. A case may have a ``SCRIPT`` that seals the same model from Python, and prints
the envelope's path at the end.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"case_{path.parent.name}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


pytestmark = pytest.mark.slow

CASES = {path.parent.name: load(path) for path in sorted(HERE.glob("*/case.py"))}
SCRIPTED = [name for name, case in CASES.items() if hasattr(case, "SCRIPT")]


def each(names):
    """All stages of a case run in one worker, one after another: its model is trained and locked once."""
    cases = [pytest.param(name, marks=pytest.mark.xdist_group(f"e2e-{name}")) for name in names]
    return pytest.mark.parametrize("case", cases, indirect=True, scope="session")


@dataclass(frozen=True)
class Made:
    case: ModuleType
    folder: Path

    @property
    def arguments(self) -> list[str | Path]:
        methods = [word for name in self.case.METHODS for word in ("--method", name)]
        model, samples = self.folder / self.case.MODEL, self.folder / self.case.SAMPLES
        return [model, "--input", samples, *methods, "--name", self.case.NAME]


@pytest.fixture(scope="session")
def case(request, tmp_path_factory, envelope) -> Made:
    found = CASES[request.param]
    return Made(found, found.make(tmp_path_factory.mktemp(request.param), envelope))


@pytest.fixture(scope="session")
def sealed(case, tmp_path_factory, envelope) -> Path:
    """The envelope, locked and proven."""
    done = envelope("pack", *case.arguments, "-o", tmp_path_factory.mktemp("sealed"))
    assert done.stdout.count("\n") == 1
    return Path(done.stdout.strip())


def pack_plainly(envelope, case: Made, into: Path, **options) -> Path:
    return Path(envelope("pack", *case.arguments, "--no-lock", "--no-proof", "-o", into, **options).stdout.strip())


@each(CASES)
def test_same_content_packed_twice_is_the_same_envelope(case, tmp_path, envelope):
    first = pack_plainly(envelope, case, tmp_path / "first")
    elsewhere = tmp_path / "moved" / "project"
    shutil.copytree(case.folder, elsewhere)
    second = pack_plainly(envelope, Made(case.case, elsewhere), tmp_path / "second", cwd=elsewhere)
    assert first.name == second.name
    assert (first / "MANIFEST.sha256").read_bytes() == (second / "MANIFEST.sha256").read_bytes()


@each(CASES)
def test_sha256sum_and_verify_name_the_changed_file(case, tmp_path, envelope):
    packed = pack_plainly(envelope, case, tmp_path)
    sha256sum = ["sha256sum", "--check", "--quiet", "MANIFEST.sha256"]
    subprocess.run(sha256sum, cwd=packed, check=True)
    envelope("verify", packed)

    model = next((packed / "model").iterdir())
    model.chmod(0o644)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    assert subprocess.run(sha256sum, cwd=packed, check=False, capture_output=True).returncode != 0
    done = envelope("verify", packed, code=3)
    assert f"model/{model.name}" in done.stdout + done.stderr


@each(CASES)
@pytest.mark.network
def test_a_clean_room_gives_the_sealed_answers(case, sealed, envelope):
    envelope("verify", sealed, "--clean")


@each(SCRIPTED)
@pytest.mark.network
def test_the_script_seals_the_same_model(case, sealed, envelope):
    command = [sys.executable, "-W", "error", case.case.SCRIPT]
    done = subprocess.run(command, cwd=case.folder, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    scripted = case.folder / done.stdout.splitlines()[-1]
    envelope("verify", scripted, "--clean")
    for name in (
        "signature.json",
        "env/requirements.lock",
        *(f"samples/{method}.output.json" for method in case.case.METHODS),
    ):
        assert (scripted / name).read_bytes() == (sealed / name).read_bytes()
    case.case.check_notes(json.loads(envelope("show", scripted, "--json").stdout)["result"])


@each(CASES)
@pytest.mark.network
@pytest.mark.engine
def test_the_container_gives_the_sealed_answers(case, sealed, envelope):
    import docker

    image = f"model-envelope-test/{sealed.name}:latest"
    envelope("build", sealed, "--target", "service", "-t", image)
    client = docker.from_env()
    container = None
    try:
        container = client.containers.run(
            image, detach=True, init=True, read_only=True, tmpfs={"/tmp": ""}, ports={"8080/tcp": ("127.0.0.1", None)}
        )
        address = wait_until_ready(container)
        for method in case.case.METHODS:
            question = (sealed / "samples" / f"{method}.input.json").read_bytes()
            answer = json.loads((sealed / "samples" / f"{method}.output.json").read_bytes())
            assert post(f"{address}/{method}", question) == answer
        case.case.check(lambda method, body: post(f"{address}/{method}", json.dumps(body).encode()))
    finally:
        if container is not None:
            container.remove(force=True)
        client.images.remove(image, force=True)
        client.close()


def wait_until_ready(container) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        container.reload()
        assert container.status in {"created", "running"}, container.logs().decode()
        if ports := container.ports.get("8080/tcp"):
            address = f"http://127.0.0.1:{ports[0]['HostPort']}"
            try:
                with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                    return address
            except OSError:
                pass
        time.sleep(0.2)
    raise AssertionError(f"not ready after a minute:\n{container.logs().decode()}")


def post(url: str, body: bytes):
    request = urllib.request.Request(url, data=body)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error}: {error.read().decode()}") from None
