import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.foundation.conda_lock import CondaLock, CondaPackage, clean_address
from model_envelope.foundation.errors import InvalidInput

CHANNEL = "https://conda.anaconda.org/conda-forge"


def conda(name, version="1.0", platform="linux-64", **options):
    url = f"{CHANNEL}/{platform}/{name}-{version}-0.conda"
    return CondaPackage(
        "conda", name, platform, version, **{"url": url, "md5": "a" * 32, "sha256": "b" * 64, **options}
    )


def pip(name, version="1.0", platform="linux-64", sha256="c" * 64):
    url = f"https://files.example.com/{name}-{version}-py3-none-any.whl"
    return CondaPackage("pip", name, platform, version, url, sha256=sha256)


LOCK = CondaLock(
    (CHANNEL,),
    (
        conda("python", "3.11.9"),
        conda("pytorch", "2.1.0", dependencies=(("python", ">=3.11"), ("libtorch", ""))),
        conda("libtorch", "2.1.0"),
        conda("python", "3.11.9", "osx-arm64"),
        conda("pytorch", "2.1.2", "osx-arm64"),
        pip("tacked", "0.5"),
        pip("tacked", "0.5", "osx-arm64", sha256="d" * 64),
    ),
    {"torch": "pytorch"},
)


@given(st.permutations(LOCK.packages), st.randoms(use_true_random=False))
def test_the_same_packages_give_the_same_bytes(packages, random):
    shuffled = [replace(item, dependencies=tuple(random.sample(item.dependencies, 2))) if len(item.dependencies) == 2
                else item for item in packages]  # fmt: skip
    lock = CondaLock(LOCK.channels, (*shuffled, packages[0]), LOCK.owners)
    assert lock == LOCK
    assert lock.to_bytes() == LOCK.to_bytes()


def test_what_was_written_is_read_again():
    assert CondaLock.parse(LOCK.to_bytes()) == LOCK


def test_it_is_what_conda_lock_says_that_it_is():
    package = importlib.util.find_spec("conda_lock").submodule_search_locations[0]
    schema = json.loads(Path(package, "lockfile", "v1", "conda-lock-v1.schema.json").read_bytes())
    jsonschema.validate(yaml.safe_load(LOCK.to_bytes()), schema)


def test_versions_are_those_of_the_distributions_of_pypi():
    assert LOCK.versions("linux-64") == {"tacked": "0.5", "torch": "2.1.0"}
    assert LOCK.versions("osx-arm64") == {"tacked": "0.5", "torch": "2.1.2"}


def test_what_pip_installs_is_a_lock_of_its_own():
    assert LOCK.pip_lock("linux-64").to_bytes() == f"tacked==0.5 \\\n    --hash=sha256:{'c' * 64}\n".encode()
    assert LOCK.pip_lock().pins[0].hashes == (f"sha256:{'c' * 64}", f"sha256:{'d' * 64}")


def test_the_list_of_addresses_is_that_of_conda():
    lines = LOCK.explicit("osx-arm64", lambda url: url.replace("https://", "https://me:word@")).splitlines()
    assert lines == [
        "# platform: osx-arm64",
        "@EXPLICIT",
        f"https://me:word@conda.anaconda.org/conda-forge/osx-arm64/python-3.11.9-0.conda#{'a' * 32}",
        f"https://me:word@conda.anaconda.org/conda-forge/osx-arm64/pytorch-2.1.2-0.conda#{'a' * 32}",
    ]


def test_a_distribution_that_is_left_out_takes_its_conda_package_along():
    less = LOCK.without({"torch", "tacked"})
    assert {item.name for item in less.packages} == {"python", "libtorch"}
    assert less.owners == {}
    shared = replace(LOCK, owners={"torch": "pytorch", "functorch": "pytorch"})
    assert "pytorch" in {item.name for item in shared.without({"torch"}).packages}


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:pass@host/conda/linux-64/a-1-0.conda", "https://host/conda/linux-64/a-1-0.conda"),
        ("https://${USER}:${PASSWORD}@host:8443/c", "https://host:8443/c"),
        ("https://host/t/tk-123-456/channel/noarch/a.conda", "https://host/channel/noarch/a.conda"),
        ("https://host/t/<TOKEN>/channel/", "https://host/channel"),
        ("https://host/channel?token=secret", "https://host/channel"),
        ("file:///srv/t/x/channel", "file:///srv/t/x/channel"),
    ],
)
def test_no_address_keeps_credentials(url, clean):
    assert clean_address(url) == clean
    assert conda("a", url=url).url == clean
    assert CondaLock((url,), ()).channels == (clean,)


def changed(**changes):
    document = yaml.safe_load(LOCK.to_bytes())
    document["package"][0].update(changes)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "format"),
        (b"[1, 2]", "format"),
        (b"\xff\xfe\x01", "YAML"),
        (b"a: [", "YAML"),
        (b"version: 2\n", "version 2"),
        (b"version: 1\nmetadata: {}\n", "channels"),
        (changed(hash={}), "no hash"),
        (changed(hash={"sha256": "0"}), "no hash"),
        (changed(manager="apt"), "`apt`"),
        (changed(name="a b"), "name"),
        (changed(url="https://host/a\nRUN evil"), "address"),
        (changed(platform="linux-64; rm"), "platform"),
        (changed(version=""), "version"),
        (changed(name="pytorch"), "twice"),
    ],
)
def test_a_malformed_lock_is_told_and_not_believed(content, said):
    with pytest.raises(InvalidInput) as caught:
        CondaLock.parse(content)
    assert caught.value.code == "lock.malformed"
    assert said in caught.value.message
    assert "`env/conda-lock.yml`" in caught.value.message
