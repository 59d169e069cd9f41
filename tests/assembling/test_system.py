import os
import time

import pytest

from model_envelope.assembling import system
from model_envelope.assembling.normalising import EPOCH
from model_envelope.assembling.packages import CannotInstall


def test_what_was_changed_is_taken_over_and_nothing_else(tmp_path):
    root, into = tmp_path / "root", tmp_path / "root" / "system"
    for name in ("usr/lib/old.so", "etc/old.conf", "var/log/dpkg.log"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("before")
    time.sleep(0.02)
    into.mkdir()
    since = into.stat().st_ctime_ns
    time.sleep(0.02)
    (root / "usr/lib/new.so.1.0").write_text("new")
    # Debian's packages bring their own times along.
    os.utime(root / "usr/lib/new.so.1.0", (1_000_000, 1_000_000))
    (root / "usr/lib/new.so.1").symlink_to("new.so.1.0")
    (root / "usr/lib/private").mkdir(mode=0o700)
    (root / "var/log/dpkg.log").write_text("after")
    (root / "run").mkdir()
    (root / "run/secret").write_text("secret")
    system.take_over(root, since, into)
    files = sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if not path.is_dir())
    assert files == ["usr/lib/new.so.1", "usr/lib/new.so.1.0"]
    assert (into / "usr/lib/new.so.1").readlink().name == "new.so.1.0"
    assert (into / "usr/lib/private").stat().st_mode & 0o777 == 0o700


def test_nothing_is_installed_for_libraries_that_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "_apt", lambda packages: pytest.fail(f"installed {packages}"))
    system.install({"libc.so.6": "libc6"}, tmp_path / "system")
    assert list((tmp_path / "system").iterdir()) == []
    assert (tmp_path / "system").stat().st_mtime == EPOCH


def test_a_base_without_apt_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotInstall, match="the base image has no apt-get to install libodd7"):
        system.install({"libodd.so.7": "libodd7"}, tmp_path / "system")


def test_programs_that_are_not_on_path_are_installed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(system, "_apt", asked.extend)
    programs = {"sh": "dash", "no-such-program": "its-package"}
    system.install({"libc.so.6": "libc6"}, tmp_path / "system", programs=programs, root=tmp_path)
    assert asked == ["its-package"]
