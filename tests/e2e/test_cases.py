"""The road from pickle to container, once for each folder beside this file that holds a ``case.py``.

A case names its methods, which take one table, the files that it makes (``TABLE`` is one with more rows than the
samples) and a function ``make`` which makes them. It may have a ``SCRIPT`` that seals the same model from Python and
prints the envelope's path at the end, with ``check_notes`` of what ``envelope show`` tells then; ``check``, which asks
the running container what the sealed samples do not; and ``check_row``, which knows what an answer has to be.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType

import pytest

from model_envelope.targets.container import HARDENED

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
        "env/pylock.toml",
        *(f"samples/{method}.output.json" for method in case.case.METHODS),
    ):
        assert (scripted / name).read_bytes() == (sealed / name).read_bytes()
    case.case.check_notes(json.loads(envelope("show", scripted, "--json").stdout)["result"])


@each(CASES)
@pytest.mark.network
def test_a_table_is_scored_as_the_service_answers_its_rows(case, sealed, envelope, tmp_path):
    table = Numbered(case.folder / case.case.TABLE, tmp_path / "in")
    command = [Path(sys.executable).with_name("envelope"), "serve", sealed, "--port", "0"]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = service.stdout.readline().strip()
        for method in case.case.METHODS:
            output = tmp_path / f"{method}.parquet"
            words = ("--input", table.path, "--output", output, "--method", method, "--keep", "row")
            assert envelope("batch", sealed, *words).stdout == f"{output}\n"
            answers = Answers.read(output, method)
            assert answers.kept == list(range(table.rows))
            assert answers.texts == answers.alike(ask(address, sealed, method, table))
    finally:
        service.terminate()
        service.communicate(timeout=30)


@each(CASES)
@pytest.mark.network
@pytest.mark.engine
def test_the_container_gives_the_sealed_answers(case, sealed, envelope):
    with built(envelope, sealed, "service") as (client, image), served(client, image) as address:
        for method in case.case.METHODS:
            question = (sealed / "samples" / f"{method}.input.json").read_bytes()
            answer = json.loads((sealed / "samples" / f"{method}.output.json").read_bytes())
            assert post(f"{address}/{method}", question) == answer
        if hasattr(case.case, "check"):
            case.case.check(lambda method, body: post(f"{address}/{method}", json.dumps(body).encode()))


@each(CASES)
@pytest.mark.network
@pytest.mark.engine
def test_containers_of_service_batch_and_spark_answer_a_table_alike(case, sealed, envelope, tmp_path):
    data = tmp_path / "data"
    (data / "out").mkdir(parents=True)
    (data / "out").chmod(0o777)  # the images' user is nobody whom this machine knows
    table = Numbered(case.folder / case.case.TABLE, data / "in")

    with built(envelope, sealed, "service") as (client, image), served(client, image) as address:
        service = {method: ask(address, sealed, method, table) for method in case.case.METHODS}
    with built(envelope, sealed, "batch") as (client, image):
        batch = {method: scored(client, image, data, method, "batch") for method in case.case.METHODS}
    with built(envelope, sealed, "spark") as (client, image):
        # Java loads libraries from there; and where the machine stands is nothing to what the table says.
        variables = {"SPARK_MASTER": "local[2]", "TZ": "America/New_York"}
        more = {"tmpfs": {"/tmp": "rw,exec,nosuid,nodev"}, "environment": variables}
        spark = {method: scored(client, image, data, method, "spark", **more) for method in case.case.METHODS}

    for method in case.case.METHODS:
        assert len(service[method]) == table.rows
        assert batch[method].kept == spark[method].kept == list(range(table.rows))
        assert batch[method].names == spark[method].names
        assert batch[method].texts == batch[method].alike(service[method])
        assert batch[method].texts == spark[method].texts
        if hasattr(case.case, "check_row"):
            for question, answer in zip(table.values, batch[method].values, strict=True):
                case.case.check_row(method, question, answer)


class Numbered:
    """A table in a folder of three files, with the number of each row in a column that the model does not know."""

    def __init__(self, source: Path, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(source)
        self.path, self.rows, self.values = path, table.num_rows, table.to_pylist()
        table = table.append_column("row", pa.array(range(self.rows), pa.int64()))
        path.mkdir()
        third = -(-self.rows // 3)
        for at in range(0, self.rows, third):
            pq.write_table(table.slice(at, third), path / f"from-{at:05}.parquet")


@dataclass(frozen=True)
class Answers:
    """What a job wrote for a method, in the order of the rows asked for: ``kept`` are their numbers."""

    kept: list[int]
    names: list[str]
    types: Mapping[str, object]
    values: list[object]
    """As Python has them: an object a row where the method answers with a table."""

    @classmethod
    def read(cls, path: Path, method: str) -> "Answers":
        import pyarrow.parquet as pq

        table = pq.read_table(path).sort_by("row")
        kept, rest = table["row"].to_pylist(), table.drop_columns("row")
        values = rest[method].to_pylist() if rest.column_names == [method] else rest.to_pylist()
        return cls(kept, table.column_names, {field.name: field.type for field in rest.schema}, values)

    @property
    def texts(self) -> list[str]:
        """Each answer to the last digit: 1, 1.0 and True are three things, and NaN is itself."""
        return [repr(instants(value)) for value in self.values]

    def alike(self, found: list[object]) -> list[str]:
        """Give the :attr:`texts` of what JSON says of the same answers: days and moments are texts there."""
        if isinstance(self.values[0], dict):
            read = [{name: from_json(value, self.types[name]) for name, value in row.items()} for row in found]
        else:
            (type_,) = self.types.values()
            read = [from_json(value, type_) for value in found]
        return [repr(instants(value)) for value in read]


def from_json(value, type_):
    import pyarrow as pa

    if value is not None and pa.types.is_date(type_):
        return date.fromisoformat(value)
    if value is not None and pa.types.is_timestamp(type_):
        return datetime.fromisoformat(value)
    return value


def instants(value):
    """Give the same with each moment that has an offset in UTC, however that is called."""
    if isinstance(value, dict):
        return {name: instants(item) for name, item in value.items()}
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value


def ask(address: str, sealed: Path, method: str, table: Numbered) -> list[object]:
    """Ask a service for all rows, some hundreds at a time."""
    signature = json.loads((sealed / "signature.json").read_bytes())
    (parameter,) = signature["methods"][method]["parameters"]
    answers = []
    for at in range(0, table.rows, 700):
        body = {parameter["name"]: table.values[at : at + 700]}
        text = json.dumps(body, default=lambda moment: moment.isoformat(), allow_nan=False)
        answers += post(f"{address}/{method}", text.encode())
    return answers


@contextmanager
def built(envelope, sealed: Path, target: str) -> Iterator[tuple]:
    """Build an image, and give a client of the engine with its name. It is removed in the end."""
    import docker

    image = f"model-envelope-test/{sealed.name}-{target}:{os.getpid()}"
    client = docker.from_env()
    try:
        envelope("build", sealed, "--target", target, "-t", image)
        yield client, image
    finally:
        with suppress(docker.errors.ImageNotFound):
            client.images.remove(image, force=True)
        client.close()


@contextmanager
def served(client, image: str) -> Iterator[str]:
    """Run a service hardened, and give where it is when it is ready."""
    container = client.containers.run(
        image, detach=True, init=True, ports={"8080/tcp": ("127.0.0.1", None)}, **HARDENED
    )
    try:
        yield wait_until_ready(container)
    finally:
        container.remove(force=True)


def scored(client, image: str, data: Path, method: str, name: str, **more) -> Answers:
    """Run a job hardened and without a network on ``in`` of a folder, and give what it wrote there."""
    output = f"out/{method}-{name}"
    words = ["--input", "/data/in", "--output", f"/data/{output}", "--method", method, "--keep", "row"]
    volumes = {str(data): {"bind": "/data", "mode": "rw"}}
    container = client.containers.run(
        image, words, detach=True, network_mode="none", volumes=volumes, **{**HARDENED, **more}
    )
    try:
        code = container.wait(timeout=600)["StatusCode"]
        assert code == 0, container.logs().decode()
    finally:
        container.remove(force=True)
    return Answers.read(data / output, method)


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
