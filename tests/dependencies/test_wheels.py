"""Wheels made of what is installed: the same files again, and the same bytes whoever installed them."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from wheelhouses import Wheelhouse

from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.programs import find_uv
from model_envelope.dependencies.wheels import make_wheel, unfit_tags
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.platforms import Platform

METADATA = "Metadata-Version: 2.1\nName: Our.Features\nVersion: 1.0+team.1\nRequires-Dist: other>=1\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n"


@pytest.fixture
def original(tmp_path):
    """A wheel with all that a wheel may hold: modules, data, headers, a script, and a program from an entry point."""
    folder = tmp_path / "original"
    folder.mkdir()
    info, data = "our_features-1.0+team.1.dist-info", "our_features-1.0+team.1.data"
    files = {
        "our_features/__init__.py": "def main():\n    print('hello')\n",
        "our_features/words.txt": "a b c\n",
        f"{data}/scripts/say-words": "#!python\nprint('words')\n",
        f"{data}/data/share/our-features/table.csv": "1,2\n",
        f"{info}/METADATA": METADATA,
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": "[console_scripts]\nsay-hello = our_features:main\n",
        f"{info}/licenses/LICENSE": "free\n",
    }
    path = folder / "our_features-1.0+team.1-py2.py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return path


def install(wheel: Path, folder: Path, installer: str) -> Installed:
    if not folder.exists():
        venv.create(folder, symlinks=True)
    if installer == "uv":
        command = [find_uv(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", folder / "bin/python"]
    else:
        command = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, wheel], check=True)
    return Installed.read([str(path) for path in folder.glob("lib/*/site-packages")])


def files_in(folder: Path) -> dict[str, bytes]:
    left_out = ("__pycache__", "direct_url.json", "RECORD", "WHEEL", "INSTALLER", "REQUESTED", "uv_cache.json")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes().replace(str(folder).encode(), b"ENV")
        for name, path in found.items()
        if not any(part in left_out for part in Path(name).parts) and "features" in name + path.name
    }


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_wheel_made_again_installs_the_same_files(original, tmp_path, installer):
    first = install(original, tmp_path / "first", installer)
    wheel = make_wheel(first.distributions["our-features"], tmp_path / "made")
    assert wheel.name == "our_features-1.0+team.1-py2.py3-none-any.whl"
    second = install(wheel, tmp_path / "second", installer)
    assert second.distributions["our-features"].requires == ("other>=1",)
    assert files_in(tmp_path / "second") == files_in(tmp_path / "first")
    for program, says in (("say-hello", "hello"), ("say-words", "words")):
        assert subprocess.check_output([tmp_path / "second" / "bin" / program], text=True) == f"{says}\n"
    assert make_wheel(second.distributions["our-features"], tmp_path / "again").read_bytes() == wheel.read_bytes()


def test_whoever_installed_it_the_wheel_has_the_same_bytes(original, tmp_path):
    made = [
        make_wheel(install(original, tmp_path / name, name).distributions["our-features"], tmp_path / f"of-{name}")
        for name in ("uv", "pip")
    ]
    assert made[0].read_bytes() == made[1].read_bytes()


def test_without_a_record_no_wheel_can_be_made(environment, tmp_path):
    environment.install("ours", direct_url={"url": "git+https://git.example/ours"}, record=False)
    with pytest.raises(InvalidInput, match=r"`ours 1\.0` comes from") as caught:
        make_wheel(environment.read().distributions["ours"], tmp_path)
    assert caught.value.code == "lock.no-wheel-of"
    assert "pip wheel" in caught.value.hint


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", {"linux/amd64", "linux/arm64", "macos/arm64"}),
        ("py2.py3-none-any", {"linux/amd64", "linux/arm64", "macos/arm64"}),
        ("cp312-cp312-linux_x86_64", {"linux/amd64"}),
        ("cp311-cp311-linux_x86_64", set()),
        ("cp38-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64", {"linux/arm64"}),
        ("cp313-abi3-manylinux_2_17_aarch64", set()),
        ("py3-none-macosx_11_0_universal2", {"macos/arm64"}),
        ("py2-none-any", set()),
    ],
)
def test_a_wheel_fits_what_its_tags_say(tag, fits, tmp_path):
    wheel = tmp_path / f"ours-1.0-{tag}.whl"
    found = {
        name
        for name in ("linux/amd64", "linux/arm64", "macos/arm64")
        if not unfit_tags(wheel.name, Platform.parse(name), "3.12")
    }
    assert found == fits


def test_a_wheel_of_a_folder_of_wheels_is_told_by_its_record(tmp_path):
    house = Wheelhouse(tmp_path / "wheels")
    house.folder.mkdir()
    house.add("plain", "2.0")
    installed = install(next(house.folder.iterdir()), tmp_path / "env", "uv")
    assert make_wheel(installed.distributions["plain"], tmp_path / "made").name == "plain-2.0-py3-none-any.whl"
