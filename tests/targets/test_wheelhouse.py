"""What is taken out of folders of wheels, and what is said of the rest."""

import hashlib

import pytest
from wheelhouses import Wheelhouse

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.targets.wheelhouse import pick, pick_all

AMD = Platform("linux", "amd64")


def names(paths):
    return sorted(path.name for path in paths)


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    return Wheelhouse(folder)


def test_exactly_what_the_lock_names_is_taken(wheels):
    needed = wheels.add("needed"), wheels.add("needed", tag="cp311-cp311-manylinux_2_17_x86_64")
    other = wheels.add("needed", tag="cp311-cp311-macosx_14_0_arm64")
    wheels.add("needed", "2.0")
    wheels.add("not-needed")
    (wheels.folder / "notes.txt").write_text("by hand")
    lock = Lock((Pin("needed", "1.0", (*needed, other)),))
    expected = ["needed-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "needed-1.0-py3-none-any.whl"]
    assert names(pick_all(lock, [wheels.folder], python="3.11", platform=AMD)) == expected
    assert names(pick(lock, [wheels.folder], python="3.11", platform=AMD)) == expected
    assert names(pick_all(lock, [wheels.folder], python="3.12", platform=AMD)) == expected[1:]


def test_an_index_that_is_a_folder_is_looked_through(wheels):
    (wheels.folder / "my-package").mkdir()
    held = Wheelhouse(wheels.folder / "my-package").add("my-package")
    lock = Lock((Pin("my-package", "1.0", (held,)),))
    assert names(pick(lock, [wheels.folder], python="3.11", platform=AMD)) == ["my_package-1.0-py3-none-any.whl"]


def test_all_that_is_missing_is_told_at_once_by_kind(wheels):
    wheels.add("changed")
    mac = wheels.add("foreign", tag="cp311-cp311-macosx_14_0_arm64")
    (wheels.folder / "sources-1.0.tar.gz").write_bytes(b"sources")
    lock = Lock(
        (
            Pin("changed", "1.0", (f"sha256:{'1' * 64}",)),
            Pin("foreign", "1.0", (mac,)),
            Pin("gone", "2.1", (f"sha256:{'2' * 64}",)),
            Pin("on-a-mac", "1.0", (f"sha256:{'3' * 64}",), marker='sys_platform == "darwin"'),
            Pin("there", "1.0", (wheels.add("there"),)),
            Pin("sources", "1.0", ("sha256:41f4e8f9b7f6eecf7a1a9a9c0b1e2c8bdd9e3a3ad7b5b8bf5a6a64e5b0c8e4f1",)),
        )
    )
    with pytest.raises(InvalidInput) as caught:
        pick_all(lock, [wheels.folder], python="3.11", platform=Platform("linux", "arm64"))
    error = caught.value
    assert error.code == "build.wheelhouse"
    assert "lacks 4 of the 5 packages" in error.message
    assert {problem.path: problem.code for problem in error.problems} == {
        "changed==1.0": "wheelhouse.hash",
        "foreign==1.0": "wheelhouse.platform",
        "gone==2.1": "wheelhouse.missing",
        "sources==1.0": "wheelhouse.hash",
    }
    assert f"pip download --dest {wheels.folder} --no-deps" in error.hint
    assert "--platform manylinux2014_aarch64" in error.hint
    assert "--python-version 3.11" in error.hint
    assert error.hint.rstrip("`").endswith("changed==1.0 foreign==1.0 gone==2.1 sources==1.0")


def test_sources_are_taken_where_there_is_a_network_to_build_them(wheels):
    (wheels.folder / "sources-1.0.tar.gz").write_bytes(b"sources")
    lock = Lock((Pin("sources", "1.0", (f"sha256:{hashlib.sha256(b'sources').hexdigest()}",)),))
    assert names(pick(lock, [wheels.folder], python="3.11", platform=AMD)) == ["sources-1.0.tar.gz"]
    with pytest.raises(InvalidInput) as caught:
        pick_all(lock, [wheels.folder], python="3.11", platform=AMD)
    assert [problem.code for problem in caught.value.problems] == ["wheelhouse.source"]
