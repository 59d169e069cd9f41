"""Local code in the envelope: the whole of it, and nothing that tools left beside it."""

import pytest

from model_envelope.dependencies.capture import capture
from model_envelope.dependencies.needs import LocalModule
from model_envelope.foundation.errors import InvalidInput


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "project" / "pkg"
    for path in ("__pycache__", ".git", ".ipynb_checkpoints", "data"):
        (folder / path).mkdir(parents=True)
        (folder / path / "file.bin").write_bytes(b"\0\1")
    (folder / "__init__.py").write_text("x = 1\r\n")
    (folder / "old.pyc").write_text("")
    (folder / "deep").mkdir()
    (folder / "deep" / "mod.py").write_text("")
    return LocalModule("pkg", folder)


def test_copies_modules_and_packages_with_their_data(package, tmp_path):
    (tmp_path / "project" / "features.py").write_text("y = 2\n")
    features = LocalModule("features", tmp_path / "project" / "features.py")
    into = tmp_path / "code"
    copied = capture([package, features], into)
    assert copied == ("features.py", "pkg/__init__.py", "pkg/data/file.bin", "pkg/deep/mod.py")
    assert sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()) == list(copied)
    assert (into / "pkg" / "__init__.py").read_bytes() == b"x = 1\r\n"


def test_links_become_files(package, tmp_path):
    (tmp_path / "shared.py").write_text("z = 3\n")
    (package.path / "linked.py").symlink_to(tmp_path / "shared.py")
    capture([package], tmp_path / "code")
    copied = tmp_path / "code" / "pkg" / "linked.py"
    assert not copied.is_symlink()
    assert copied.read_text() == "z = 3\n"


@pytest.mark.parametrize(("target", "said"), [("nowhere.py", "leads nowhere"), (".", "leads in a circle")])
def test_links_that_cannot_travel_are_named(package, tmp_path, target, said):
    (package.path / "link").symlink_to(target)
    with pytest.raises(InvalidInput, match=said) as caught:
        capture([package], tmp_path / "code")
    assert "pkg/link" in caught.value.message


def test_too_much_code_is_refused_before_anything_is_copied(package, tmp_path):
    (package.path / "data" / "large.bin").write_bytes(bytes(2_000_000))
    with pytest.raises(InvalidInput, match=r"2\.0 MB.*at most 1\.0 MB") as caught:
        capture([package], tmp_path / "code", limit=1_000_000)
    assert caught.value.problems[0].path == "code/pkg/data/large.bin"
    assert not (tmp_path / "code").exists()


def test_a_module_that_is_gone_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"`gone` is not at"):
        capture([LocalModule("gone", tmp_path / "gone.py")], tmp_path / "code")
