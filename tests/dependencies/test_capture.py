"""Local code in the envelope: the whole of it, and nothing that tools left beside it."""

import os
import socket

import pytest

from model_envelope.dependencies.capture import capture, capture_metadata
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
    assert "raise" not in caught.value.hint
    assert not (tmp_path / "code").exists()


def test_the_largest_files_and_the_folder_that_holds_them_are_named_and_how_the_limit_is_raised(package, tmp_path):
    for number in range(7):
        (package.path / "deep" / f"part{number}.bin").write_bytes(bytes(1_000_000 + number))
    with pytest.raises(InvalidInput) as caught:
        capture([package], tmp_path / "code", limit=1_000_000, raised_by="`--code-limit {}`")
    shown = [problem.path for problem in caught.value.problems]
    assert shown == [*(f"code/pkg/deep/part{number}.bin" for number in (6, 5, 4, 3, 2)), "code/pkg/deep/"]
    assert "`--code-limit 8MB`" in caught.value.hint
    assert capture([package], tmp_path / "code", limit=8_000_000)


def test_what_tools_and_builds_leave_in_a_package_stays_behind(package, tmp_path):
    for path in (
        "build/lib/pkg/old.py",
        "node_modules/x.js",
        "my-env/pyvenv.cfg",
        ".ruff_cache/x",
        "pkg.egg-info/PKG-INFO",
    ):
        (package.path / path).parent.mkdir(parents=True, exist_ok=True)
        (package.path / path).write_text("")
    (package.path / "dist").mkdir()
    (package.path / "dist" / "__init__.py").write_text("")
    behind = []
    assert capture([package], tmp_path / "code", behind=behind.append) == (
        "pkg/__init__.py",
        "pkg/data/file.bin",
        "pkg/deep/mod.py",
        "pkg/dist/__init__.py",
    )
    assert behind == ["pkg/build/"]


def test_what_is_no_file_is_named_before_anything_waits_for_it(package, tmp_path, monkeypatch):
    os.mkfifo(package.path / "pipe")
    monkeypatch.chdir(package.path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(InvalidInput) as caught:
            capture([package], tmp_path / "code")
    assert caught.value.code == "code.not-a-file"
    assert [str(problem) for problem in caught.value.problems] == [
        "code/pkg/pipe: found a pipe, expected a file that can be copied",
        "code/pkg/socket: found a socket, expected a file that can be copied",
    ]
    assert not (tmp_path / "code").exists()


def test_a_file_that_may_not_be_read_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "file.bin")
    with pytest.raises(InvalidInput, match="1 problem") as caught:
        capture([package], tmp_path / "code")
    assert (caught.value.code, caught.value.problems[0].path) == ("code.unreadable", "code/pkg/data/file.bin")


def test_a_link_to_a_folder_elsewhere_brings_what_is_in_it(package, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "weights.txt").write_text("1")
    (package.path / "linked").symlink_to(tmp_path / "shared")
    assert "pkg/linked/weights.txt" in capture([package], tmp_path / "code")


def test_code_lands_where_it_can_be_imported_by_its_name(tmp_path):
    source = tmp_path / "project" / "source"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (tmp_path / "fast.abi3.so").write_bytes(b"")
    (tmp_path / "v2.py").write_text("")
    modules = [
        LocalModule("ours", source),
        LocalModule("ours._fast", tmp_path / "fast.abi3.so"),
        LocalModule("plugin", tmp_path / "v2.py"),
    ]
    assert capture(modules, tmp_path / "code") == ("ours/__init__.py", "ours/_fast.abi3.so", "plugin.py", "v2.py")


def test_parts_of_one_package_come_together_and_two_files_for_one_place_are_told(tmp_path):
    for folder, text in (("a", "1"), ("b", "2")):
        (tmp_path / folder / "space").mkdir(parents=True)
        (tmp_path / folder / "space" / f"{folder}.py").write_text("")
        (tmp_path / folder / "space" / "README").write_text("same")
        (tmp_path / folder / "other").mkdir()
        (tmp_path / folder / "other" / "data.txt").write_text(text)
    both = [LocalModule("space", tmp_path / folder / "space") for folder in "ab"]
    assert capture(both, tmp_path / "code") == ("space/README", "space/a.py", "space/b.py")
    with pytest.raises(InvalidInput, match=r"both would be `code/other/data\.txt`"):
        capture([LocalModule("other", tmp_path / folder / "other") for folder in "ab"], tmp_path / "code2")


def test_bytecode_alone_is_no_code(tmp_path):
    (tmp_path / "secret.pyc").write_bytes(b"")
    with pytest.raises(InvalidInput, match="bytecode alone"):
        capture([LocalModule("secret", tmp_path / "secret.pyc")], tmp_path / "code")


def test_code_that_asks_for_its_own_version_gets_the_metadata_of_its_editable_install(environment, tmp_path):
    project = tmp_path / "our-models"
    (project / "ours").mkdir(parents=True)
    (project / "ours" / "__init__.py").write_text("")
    url = {"url": project.as_uri(), "dir_info": {"editable": True}}
    environment.install("our-models", "0.3", files={}, direct_url=url)
    ours = LocalModule("ours", project / "ours")
    capture([ours], tmp_path / "one")
    capture_metadata([ours], environment.read(), tmp_path / "one")
    assert not list((tmp_path / "one").glob("*.dist-info"))
    (project / "ours" / "__init__.py").write_text("from importlib.metadata import version\nV = version('our-models')\n")
    capture([ours], tmp_path / "two")
    capture_metadata([ours], environment.read(), tmp_path / "two")
    (info,) = (tmp_path / "two").glob("*.dist-info")
    assert info.name == "our_models-0.3.dist-info"
    assert [path.name for path in info.iterdir()] == ["METADATA"]


def test_a_module_that_is_gone_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"`gone` is not at"):
        capture([LocalModule("gone", tmp_path / "gone.py")], tmp_path / "code")
