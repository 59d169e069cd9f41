import hashlib
import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from model_envelope.dependencies.conda.channels import Channels
from model_envelope.foundation.errors import InvalidInput, ToolMissing
from model_envelope.foundation.platforms import Platform
from model_envelope.targets.build_log import BuildLog
from model_envelope.targets.building import fetch_wheels
from model_envelope.targets.engine import Engine, buildkit_client, docker_programs, split_name
from model_envelope.workflows.network_files import apt_conf, mamba_authentication


def test_mamba_gets_the_credentials_of_channels_that_conda_has_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    channels = Channels(
        (
            "https://conda.anaconda.org/conda-forge",
            "https://me:pass%20word@repo.example.com:8443/team",
            "https://conda.anaconda.org/t/tk-1-2/private",
            "https://me:old@repo.example.com/noted",
        )
    )
    assert mamba_authentication(Channels()) is None
    noted = {"repo.example.com/noted": {"type": "CondaToken", "token": "tk-3-4"}}
    folder = tmp_path / ".mamba" / "auth"
    folder.mkdir(parents=True)
    (folder / "authentication.json").write_text(json.dumps(noted))
    # The form is that of `micromamba login`, whose own word counts more.
    assert json.loads(mamba_authentication(channels)) == {
        "repo.example.com:8443/team": {"type": "BasicHTTPAuthentication", "user": "me", "password": "cGFzcyB3b3Jk"},
        "conda.anaconda.org/private": {"type": "CondaToken", "token": "tk-1-2"},
        **noted,
    }
    (folder / "authentication.json").write_text("{")
    assert mamba_authentication(channels) == b"{"


def program(folder: Path, script: str) -> Path:
    folder.mkdir()
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_every_docker_command_on_path_is_tried_for_buildkit(tmp_path, monkeypatch):
    new = program(tmp_path / "new", '[ "$1" = buildx ] && exit 1; echo "Docker version 28.0.1, build x"')
    old = program(tmp_path / "old", '[ "$1" = buildx ] && exit 1; echo "Docker version 20.10.24, build x"')
    (tmp_path / "same").symlink_to(tmp_path / "old")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("new", "none", "old", "same")))
    assert docker_programs() == (new, old)
    client = buildkit_client()
    assert client.program == old
    assert client.variables == {"DOCKER_BUILDKIT": "1"}
    buildx = program(tmp_path / "buildx", "exit 0")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("new", "buildx", "old")))
    assert buildkit_client().program == buildx
    assert buildkit_client().words == ("buildx", "build", "--load")
    assert buildkit_client().variables == {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    monkeypatch.setenv("PATH", str(tmp_path / "new"))
    assert buildkit_client() is None


@pytest.mark.parametrize(("platform", "machine"), [("linux/arm64", "aarch64"), ("linux/amd64", "x86_64")])
def test_wheels_are_fetched_for_the_platform_of_the_engine(tmp_path, platform, machine):
    folder, lock = tmp_path / "links", tmp_path / "requirements.lock"
    folder.mkdir()
    for each in ("aarch64", "x86_64"):
        with zipfile.ZipFile(folder / f"tiny-1.0-cp311-cp311-manylinux2014_{each}.whl", "w") as wheel:
            wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
            wheel.writestr("tiny-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: cp311-cp311-manylinux2014_{each}\n")
    hashes = (f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in folder.iterdir())
    lock.write_text(f"tiny==1.0 {' '.join(hashes)}\n")
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    fetch_wheels(lock, tmp_path / "in", "3.11", Platform.parse(platform), tmp_path / "none", variables, BuildLog())
    assert [path.name for path in (tmp_path / "in").iterdir()] == [f"tiny-1.0-cp311-cp311-manylinux2014_{machine}.whl"]


def test_a_reader_who_went_away_is_no_trouble_of_the_engine():
    with pytest.raises(BrokenPipeError), Engine(None, "unix:///nowhere").watched():
        raise BrokenPipeError


@pytest.mark.parametrize("named", ["DOCKER_CONTEXT", "currentContext"])
def test_the_engine_is_that_of_the_context_that_the_docker_command_would_use(tmp_path, monkeypatch, named):
    place = tmp_path / "contexts" / "meta" / hashlib.sha256(b"other").hexdigest()
    place.mkdir(parents=True)
    host = f"unix://{tmp_path}/nobody.sock"
    other = {"Name": "other", "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
    (place / "meta.json").write_text(json.dumps(other))
    (tmp_path / "config.json").write_text(json.dumps({named: "other"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    if named == "DOCKER_CONTEXT":
        monkeypatch.setenv(named, "other")
    with pytest.raises(ToolMissing, match=re.escape(f"answers at {host}")):
        Engine.connect()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("flights", ("flights", "latest")),
        ("flights:1.0", ("flights", "1.0")),
        ("localhost:5000/team/flights", ("localhost:5000/team/flights", "latest")),
        ("registry.example.com/a/b-c__d:Tag_1", ("registry.example.com/a/b-c__d", "Tag_1")),
    ],
)
def test_names_of_images(name, parts):
    assert split_name(name) == parts


@pytest.mark.parametrize(
    "name", ["", "Flights", "a b", "a:", ":1", "a@sha256:00", "a//b", "-a", "a:b:c", "a;rm", "Team/a"]
)
def test_what_is_no_name_of_an_image(name):
    with pytest.raises(InvalidInput) as caught:
        split_name(name)
    assert caught.value.code == "build.image-name"


def test_the_apt_conf_for_builds_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("ENVELOPE_APT_CONF", str(tmp_path / "apt.conf"))
    with pytest.raises(InvalidInput) as caught:
        apt_conf()
    assert caught.value.code == "settings.apt-conf"
    (tmp_path / "apt.conf").write_text("Acquire {};")
    assert apt_conf() == b"Acquire {};"
    monkeypatch.setenv("ENVELOPE_APT_CONF", "")
    assert apt_conf() == b""
