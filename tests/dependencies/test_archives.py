"""Local modules in zip files."""

import zipfile

import pytest

from model_envelope.dependencies.archives import unpack
from model_envelope.foundation.errors import InvalidInput


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "lib.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("pkg/__init__.py", "")
        opened.writestr("pkg/data.txt", "2.5")
        opened.writestr("../outside.txt", "")
    return path


def test_modules_and_their_data_are_files_afterwards(archive, tmp_path):
    modules = {"pkg": f"{archive}/pkg/__init__.py", "json": "/usr/lib/python3.11/json/__init__.py", "space": None}
    found, roots = unpack(modules, [str(archive), str(tmp_path)], tmp_path / "into")
    (root,) = roots
    assert found == {**modules, "pkg": str(root / "pkg" / "__init__.py")}
    assert (root / "pkg" / "data.txt").read_text() == "2.5"
    assert not (tmp_path / "outside.txt").exists()


def test_what_is_too_large_is_not_unpacked(archive, tmp_path):
    with pytest.raises(InvalidInput, match=r"at most 2 B") as caught:
        unpack({}, [str(archive)], tmp_path / "into", limit=2, raised_by="`--code-limit {}`")
    assert "--code-limit" in caught.value.hint
    assert not (tmp_path / "into").exists()


def test_a_damaged_archive_is_named(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    content[content.index(b"2.5")] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"lib\.zip") as caught:
        unpack({}, [str(archive)], tmp_path / "into")
    assert caught.value.code == "code.archive"


def test_without_archives_nothing_happens(tmp_path):
    assert unpack({"json": "/x/json.py"}, [str(tmp_path), "/none.zip"], tmp_path / "into") == (
        {"json": "/x/json.py"},
        (),
    )
