"""Models of environments that are behind the newest on the index: locked as they are, proven, and served."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from models import dump, write_module
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_uv
from model_envelope.foundation import pylock
from model_envelope.foundation.errors import Unsolvable
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.process import environment
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.target import find_target
from model_envelope.workflows.pack import SampleFile, pack
from model_envelope.workflows.serve import serve

pytestmark = pytest.mark.network

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
NUMPY = {"3.11": "1.26.4", "3.12": "1.26.4", "3.13": "2.1.0"}.get(SERIES, "2.3.2")
HERE = Platform.here()
OTHER = Platform("linux", "arm64" if HERE.machine == "amd64" else "amd64")
MACHINE = OTHER.tag.rpartition("-")[2]

ARRAYS = """
    import numpy as np

    class Model:
        def predict(self, x: float) -> float:
            return float(np.sqrt(np.float64(x)))
"""
SCHEMA = """
    from pydantic import BaseModel, validator

    class Asked(BaseModel):
        x: float

        @validator("x")
        def halved(cls, value):
            return value / 2

    class Model:
        def predict(self, x: float) -> float:
            return Asked(x=x).dict()["x"]
"""
WEB = """
    from starlette.datastructures import URL
    {more}
    class Model:
        def predict(self, x: float) -> float:
            return float(URL(f"http://host/{{x / 2}}").path[1:])
"""


class Stop(Exception):
    """Ends a service from within ``ready``, as an interrupt would."""


@pytest.fixture
def trained(tmp_path):
    """Train a model in an environment of some packages of the index; gives what packs it there."""

    def trained(source, *packages):
        uv, python = find_uv(), tmp_path / "env" / "bin" / "python"
        assert uv
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "env"], check=True)
        settings = IndexSettings.from_environment()
        install = [uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", python, *settings.uv_flags()]
        subprocess.run([*install, *packages], env=environment(settings.uv_environment()), check=True)
        write_module(tmp_path, "behind", source)
        dump(tmp_path, "behind.Model()", "model.pkl", python)
        (tmp_path / "x.json").write_text('{"x": 4.0}')
        return ["pack", tmp_path / "model.pkl", "--input", tmp_path / "x.json", "--python", python]

    return trained


def locked(envelope):
    return Lock.parse(read_envelope(envelope).lock.read_bytes()).versions()


def packed(words, tmp_path):
    samples = SampleFile(words[3], "x.json")
    result = pack(words[1], samples=samples, python=str(words[5]), into=tmp_path / "out")
    assert result.proven
    return result.path


def answers(envelope):
    seen = []

    def ready(result):
        with urllib.request.urlopen(f"{result.url}/docs") as response:
            assert response.status == 200
        with urllib.request.urlopen(f"{result.url}/predict", b'{"x": 9.0}') as response:
            seen.append(json.load(response))
        raise Stop

    with pytest.raises(Stop):
        serve(envelope, port=0, ready=ready)
    return seen[0]


def test_the_versions_of_the_training_environment_are_locked_and_proven(trained, envelope, tmp_path):
    words = trained(ARRAYS, f"numpy=={NUMPY}")
    done = envelope(*words, "-o", tmp_path / "out")
    assert "✓ Proven in a clean room: `predict` answer" in done.stderr
    sealed = Path(done.stdout.strip())
    assert locked(sealed) == {"numpy": NUMPY}
    assert answers(sealed) == 3.0


def test_packing_for_another_machine_locks_its_wheels_and_says_that_nothing_is_proven(trained, envelope, tmp_path):
    words = trained(ARRAYS, f"numpy=={NUMPY}")
    done = envelope(*words, "--platform", str(OTHER), "-o", tmp_path / "out", "--json")
    assert f"not proven: the lock is for {OTHER}, and this machine is {HERE}" in done.stderr
    result = json.loads(done.stdout)["result"]
    assert (result["locked"], result["proven"]) == (True, False)
    sealed = read_envelope(Path(result["path"]))
    assert (sealed.description.platform, locked(sealed.path)) == (OTHER.tag, {"numpy": NUMPY})
    (pin,) = pylock.parse((sealed.path / pylock.NAME).read_bytes()).pins
    tag = f"cp{SERIES.replace('.', '')}"
    theirs = [value for value, name in pin.files if f"-{tag}-manylinux" in name and name.endswith(f"_{MACHINE}.whl")]
    assert theirs
    assert all(value in sealed.lock.read_text() for value in theirs)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic 1 is not for this Python")
def test_a_model_with_pydantic_1_is_served(trained, tmp_path):
    sealed = packed(trained(SCHEMA, "pydantic<2"), tmp_path)
    assert locked(sealed)["pydantic"].startswith("1.")
    assert answers(sealed) == 4.5


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest versions have no wheels for this Python")
def test_a_service_of_the_oldest_versions_that_the_target_allows_answers(trained, tmp_path):
    oldest = {}
    for text in find_target("service").requirements:
        need = Requirement(text)
        (oldest[need.name],) = (part.version for part in need.specifier if part.operator == ">=")
    modules = ", ".join(name.replace("-", ".") for name in oldest)  # backports-zstd is the module backports.zstd
    source = WEB.format(more=f"import {modules}\n")
    sealed = packed(trained(source, *(f"{name}=={version}" for name, version in oldest.items())), tmp_path)
    found = locked(sealed)
    assert all(found[canonicalize_name(name)].startswith(version) for name, version in oldest.items())
    assert answers(sealed) == 4.5


def test_a_model_with_an_older_starlette_than_the_service_knows_is_told_both_sides(trained, tmp_path):
    sealed = packed(trained(WEB.format(more=""), "starlette==0.19.1", "typing_extensions"), tmp_path)
    with pytest.raises(Unsolvable, match="need different versions of `starlette`") as caught:
        serve(sealed, port=0)
    (problem,) = caught.value.problems
    assert problem.found == "0.19.1 in the envelope's lock"
    assert "for the target `service`" in problem.expected
    assert "--for service --upgrade-package starlette" in caught.value.hint


def test_it_is_served_where_the_proof_allows_another_version(trained, envelope, tmp_path):
    words = trained(WEB.format(more=""), "starlette==0.19.1", "typing_extensions")
    old = packed(words, tmp_path)
    done = envelope("lock", old, "--for", "service", "--upgrade-package", "starlette", "-o", tmp_path / "new")
    new = Path(done.stdout.strip())
    assert locked(new)["starlette"] != "0.19.1"
    assert answers(new) == 4.5
