"""The layer of packages, made for real with uv and with pip, in a folder of the test's own."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_envelope.assembling import network, packages
from model_envelope.assembling.normalising import EPOCH
from model_envelope.foundation.lockfile import Lock, Pin

PYTHON = ".".join(map(str, sys.version_info[:2]))
TOOL = {
    "tool/__init__.py": "def main():\n    print('hello from the tool')\n",
    "tool/tests/__init__.py": "",
    "tool/tests/test_tool.py": "def test_it(): pass\n",
    "tool/tests/data/big.csv": "1,2\n" * 1000,
    "tool/lib.a": "archive",
    "tool-1.0.dist-info/entry_points.txt": "[console_scripts]\ntool = tool:main\n",
}


def lock_of(wheelhouse) -> Path:
    pins = [
        Pin("tool", "1.0", (wheelhouse.add("tool", files=TOOL),)),
        Pin("other-one", "2.0", (wheelhouse.add("other-one", "2.0"),)),
    ]
    path = wheelhouse.folder.parent / "requirements.lock"
    path.write_bytes(Lock(tuple(pins)).to_bytes())
    return path


@pytest.fixture
def assembled(tmp_path, monkeypatch, wheelhouse):
    """A function that makes the layer with an installer and gives its folder; each in the same place."""
    lock = lock_of(wheelhouse)
    monkeypatch.setattr(packages, "PREFIX", tmp_path / "opt" / "venv")
    monkeypatch.setattr(packages, "INSTALLER", tmp_path / "installer")
    monkeypatch.setattr(network, "SECRETS", tmp_path / "no-secrets")

    def assemble(installer: str, *, python: str = PYTHON, lock: Path = lock) -> Path:
        uv = shutil.which("uv", path=Path(sys.executable).parent) if installer == "uv" else None
        monkeypatch.setattr(packages, "CARRIED_UV", Path(uv or tmp_path / "none"))
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        shutil.rmtree(tmp_path / "opt", ignore_errors=True)
        into = tmp_path / f"layer-{installer}"
        packages.assemble(lock, into, python=python, find_links=None, wheelhouse=wheelhouse.folder)
        return into / packages.PREFIX.relative_to("/")

    return assemble


def facts(folder: Path) -> dict[str, tuple]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        link = str(path.readlink()) if path.is_symlink() else ""
        found[path.relative_to(folder).as_posix()] = (oct(status.st_mode), status.st_mtime, link, content)
    return found


def test_uv_and_pip_give_the_same_bytes_modes_and_times(assembled, capfd):
    one = facts(assembled("uv"))
    assert "with uv" in capfd.readouterr().out
    two = facts(assembled("pip"))
    assert "with pip" in capfd.readouterr().out
    assert one == two
    assert {fact[1] for fact in one.values()} == {EPOCH}


def test_what_is_installed_works_without_what_was_pruned(assembled, tmp_path):
    folder = assembled("uv")
    site = folder / "lib" / f"python{PYTHON}" / "site-packages"
    assert not (site / "tool" / "tests").exists()
    assert not (site / "tool" / "lib.a").exists()
    assert not list((folder / "bin").glob("activate*"))
    assert Path(importlib.util.cache_from_source(str(site / "tool" / "__init__.py"))).is_file()
    # An image has it where it was installed; scripts name that place.
    folder.rename(packages.PREFIX)
    said = subprocess.run([packages.PREFIX / "bin" / "tool"], capture_output=True, text=True, check=True)
    assert said.stdout == "hello from the tool\n"
    listed = (site_in_place := packages.PREFIX / site.relative_to(folder)) / "tool-1.0.dist-info" / "RECORD"
    rows = [row.rsplit(",", 2)[0] for row in listed.read_text().splitlines()]
    assert rows == sorted(rows)
    assert all((site_in_place / row).exists() for row in rows)
    assert not any("INSTALLER" in row or "tests" in row for row in rows)


def test_the_inventory_says_what_each_distribution_takes(assembled):
    inventory = json.loads((assembled("uv") / "packages.json").read_text())["packages"]
    assert [(item["name"], item["version"]) for item in inventory] == [("other-one", "2.0"), ("tool", "1.0")]
    other, tool = inventory
    assert other["pruned_bytes"] == 0
    assert tool["pruned_bytes"] == sum(len(TOOL[name]) for name in TOOL if "tests" in name or name.endswith(".a"))
    assert tool["bytes"] > 0


def test_another_python_than_that_of_the_envelope_is_said_first(assembled):
    with pytest.raises(
        packages.CannotInstall, match=rf"the base image has Python {PYTHON}, and the envelope needs 3\.9"
    ):
        assembled("uv", python="3.9")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_file_with_another_hash_is_not_installed(assembled, installer, tmp_path):
    lock = tmp_path / "other.lock"
    lock.write_bytes(Lock((Pin("tool", "1.0", ("sha256:" + "0" * 64,)),)).to_bytes())
    with pytest.raises(packages.CannotInstall, match=f"{installer} cannot install the packages"):
        assembled(installer, lock=lock)


def test_a_lock_without_packages_gives_an_environment(assembled, tmp_path):
    lock = tmp_path / "empty.lock"
    lock.write_bytes(b"")
    assert json.loads((assembled("uv", lock=lock) / "packages.json").read_text()) == {"packages": []}


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_pages_of_publishers_are_used_unless_settings_were_handed_in(installer, simple_index, tmp_path, monkeypatch):
    index = simple_index()
    lock = tmp_path / "builds.lock"
    lock.write_bytes(Lock((Pin("torch", "2.13.0+cpu", (index.add("torch", "2.13.0+cpu"),)),)).to_bytes())
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    monkeypatch.setattr(packages, "CARRIED_UV", Path(uv if installer == "uv" else tmp_path / "none"))
    monkeypatch.setattr(packages, "PREFIX", tmp_path / "opt" / "venv")
    monkeypatch.setattr(packages, "INSTALLER", tmp_path / "installer")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    # Nothing else has it.
    nowhere = simple_index("nowhere").url
    for name, value in {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": nowhere, "UV_DEFAULT_INDEX": nowhere}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    asked = {"python": PYTHON, "find_links": None, "wheelhouse": None, "published": [f"{index.url}/cpu/torch/"]}
    monkeypatch.setattr(network, "names_indexes", lambda: True)
    with pytest.raises(packages.CannotInstall):
        packages.assemble(lock, tmp_path / "one", **asked)
    assert not index.asked
    monkeypatch.setattr(network, "names_indexes", lambda: False)
    packages.assemble(lock, tmp_path / "two", **asked)
    inventory = tmp_path / "two" / packages.PREFIX.relative_to("/") / "packages.json"
    assert [item["version"] for item in json.loads(inventory.read_text())["packages"]] == ["2.13.0+cpu"]


def test_secrets_become_the_variables_of_both_installers(tmp_path):
    assert network.variables(tmp_path) == {}
    assert not network.names_indexes(tmp_path)
    for name in ("pip_conf", "uv_toml", "netrc", "ca"):
        (tmp_path / name).touch()
    (tmp_path / "proxy").write_text("HTTPS_PROXY=http://me:a=b@proxy:3128\nNO_PROXY=localhost\n\n")
    assert network.names_indexes(tmp_path)
    found = network.variables(tmp_path)
    assert found["HTTPS_PROXY"] == "http://me:a=b@proxy:3128"
    assert found["PIP_CONFIG_FILE"] == str(tmp_path / "pip_conf")
    assert found["UV_CONFIG_FILE"] == str(tmp_path / "uv_toml")
    assert found["NETRC"] == str(tmp_path / "netrc")
    assert found["SSL_CERT_FILE"] == found["PIP_CERT"] == str(tmp_path / "ca")
