"""Builds in a company's network, where credentials reach them and are found nowhere afterwards, and without any."""

import ipaddress
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from handmade import make_envelope, seal
from private_index import DIRECT, DOMAIN, Credential, PrivateIndex, make_authority, proxying, serving
from wheelhouses import Wheelhouse

from model_envelope.foundation.libraries import Libraries, Library
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.build_log import BuildLog
from model_envelope.targets.building import fetch_wheels
from model_envelope.targets.context import merged_lock
from model_envelope.targets.engine import buildkit_client
from model_envelope.targets.target import find_target

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

HOSTS = ("main", "conf", "links", "flag", "flag-links", "toml", "variable", "netrc", DIRECT)
WITH = {
    "uv": "",
    "pip": "import model_envelope.workflows.build as build; build.find_uv = lambda: None",
    "classic": "import model_envelope.targets.building as building; building.buildkit_client = lambda: None",
}
"""What is done before the command runs, so that a build installs with the one or the other."""


@pytest.fixture(scope="module")
def gateway(engine):
    """The address that a build reaches this machine at, over the engine's bridge."""
    bridge = engine.client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return bridge.get("Gateway") or str(ipaddress.ip_network(bridge["Subnet"])[1])


@dataclass
class Company:
    """An index, a proxy before it, and an envelope whose packages are spread over all hosts."""

    index: PrivateIndex
    proxy: Credential
    proxy_address: str
    gateway: str
    serving: Path
    stamp: Path
    hidden: list[bytes] = field(default_factory=list)

    def package(self, host: str) -> Pin:
        """Make a package on a host, which nothing has asked for before; it comes first in a lock."""
        name = f"a-{host}-{uuid.uuid4().hex[:8]}"
        return Pin(name, "1.0", (self.index.hosts[host].wheels.add(name),))


def envelope_of(folder: Path, *packages: Pin) -> Path:
    return make_envelope(folder, lock=Lock(packages).to_bytes())


@pytest.fixture(scope="module")
def company(tmp_path_factory, gateway, engine):
    folder = tmp_path_factory.mktemp("company")
    authority, certificate = make_authority(folder / "certificates", gateway, "127.0.0.1")
    index = PrivateIndex(authority)
    for name in HOSTS:
        index.add(name, folder / "hosts")
    # What services need of real packages: the main hosts have them too.
    lock = folder / "requirements.lock"
    bare = read_envelope(make_envelope(folder / "bare"))
    lock.write_bytes(merged_lock(bare, find_target("service")))
    fetch_wheels(lock, folder / "service", bare.description.python, Platform.here(), folder / "none", {}, BuildLog())
    for name in ("main", DIRECT):
        shutil.copytree(folder / "service", index.hosts[name].wheels.folder, dirs_exist_ok=True)
    proxy = Credential("proxy")
    hidden = [form for item in (proxy, *(host.credential for host in index.hosts.values())) for form in item.forms()]
    stamp = folder / "stamp"
    stamp.touch()
    time.sleep(0.05)
    with serving(index, certificate), proxying(index, proxy) as port:
        yield Company(index, proxy, f"{gateway}:{port}", gateway, folder / "service", stamp, hidden)


@dataclass
class Machine:
    """A user's home with settings of the network, the variables of a shell there, and flags."""

    home: Path
    variables: dict[str, str]
    flags: list[str]

    def build(self, envelope: Path, image: str, installer: str, *, watched: Path | None = None):
        """Run `envelope build --json` there."""
        program = f"import sys; {WITH[installer] or 'pass'}; from model_envelope.__main__ import main; sys.exit(main())"
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_")) and not name.lower().endswith("_proxy")
        }
        path = clean["PATH"] if watched is None else f"{watched}:{clean['PATH']}"
        return subprocess.run(
            [sys.executable, "-c", program, "build", envelope, "--image", image, "--json", *self.flags],
            env={**clean, "HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), "PATH": path, **self.variables},
            cwd=self.home,
            capture_output=True,
            check=False,
        )


def machine_of(company: Company, home: Path, installer: str, *, without: str = "") -> Machine:
    """Set up a machine with a credential in every place, but for the one that is left out.

    What can be a variable or a flag is a variable where uv installs, and a flag where pip does.
    """
    hosts = company.index.hosts

    def url(name: str, path: str = "/simple") -> str:
        found = hosts[name].url if name == without else hosts[name].authorised_url
        return found.replace("/simple", path)

    (home / "tmp").mkdir(parents=True)
    for program in ("pip", "uv"):
        (home / ".config" / program).mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(
        f"[global]\nextra-index-url = {url('conf')}\nfind-links = {url('links', '/links/')}\n"
    )
    (home / ".config" / "uv" / "uv.toml").write_text(f'[[index]]\nurl = "{url("toml")}"\n')
    netrc = hosts["netrc"]
    login = f"login {netrc.credential.user} password {netrc.credential.password}"
    noted = "" if without == "netrc" else f"machine netrc.{DOMAIN} {login}\n"
    (home / "notes").write_text(noted)
    variables = {
        "PIP_RETRIES": "0",
        "UV_INDEX": f"ours={hosts['variable'].url}",
        "UV_EXTRA_INDEX_URL": netrc.url,
    }
    if without != "variable":
        credential = hosts["variable"].credential
        variables |= {"UV_INDEX_OURS_USERNAME": credential.user, "UV_INDEX_OURS_PASSWORD": credential.password}
    proxy = f"http://{'' if without == 'proxy' else f'{company.proxy.userinfo}@'}{company.proxy_address}"
    authority = str(company.index.authority)
    flags = ["--extra-index-url", url("flag"), "--find-links", url("flag-links", "/links/")]
    if installer == "uv":
        (home / "notes").rename(home / ".netrc")
        variables |= {"PIP_INDEX_URL": url("main"), "HTTPS_PROXY": proxy}
        variables |= {} if without == "authority" else {"SSL_CERT_FILE": authority}
    else:
        flags += ["--index-url", url("main"), "--proxy", proxy, "--netrc", str(home / "notes")]
        flags += [] if without == "authority" else ["--cert", authority]
    return Machine(home, variables, flags)


PLACES = {
    "main": "build.index-forbidden",
    "conf": "build.index-forbidden",
    "links": "build.index-forbidden",
    "flag": "build.index-forbidden",
    "flag-links": "build.index-forbidden",
    "toml": "build.index-forbidden",
    "variable": "build.index-forbidden",
    "netrc": "build.index-forbidden",
    "proxy": "build.proxy-password",
    "authority": "build.index-certificate",
}
"""All places, and how it is told when what stands there is left out."""

WATCH = """#!/bin/sh
for last; do :; done
case "$*" in *--secret*) cp -r "$last" "$WATCHED/context"; printf '%s\\n' "$@" >"$WATCHED/words" ;; esac
exec "$WATCHED_DOCKER" "$@"
"""


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_credential_in_any_place_is_used_and_found_nowhere(tmp_path, company, engine, installer):
    packages = {name: company.package(name) for name in HOSTS if name != DIRECT}
    packages |= {name: company.package("main") for name in ("proxy", "authority")}
    image = f"envelope-test/leaks-{installer}:{os.getpid()}"

    def fails(place: str):
        # Each has a lock of its own: of builds that look alike to it at one time, the builder runs but one.
        home = tmp_path / f"without-{place}"
        envelope = envelope_of(home / "sealed", packages[place])
        return place, machine_of(company, home, installer, without=place).build(envelope, image, installer)

    with ThreadPoolExecutor(3) as pool:
        failed = dict(pool.map(fails, PLACES))
    told = {place: json.loads(done.stdout)["error"]["code"] for place, done in failed.items()}
    assert told == PLACES, {place: json.loads(failed[place].stdout) for place in PLACES if told[place] != PLACES[place]}

    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "docker").write_text(WATCH)
    (watched / "docker").chmod(0o755)
    envelope = envelope_of(tmp_path, *packages.values())
    machine = machine_of(company, tmp_path / "with-all", installer)
    machine.variables |= {"WATCHED": str(watched), "WATCHED_DOCKER": str(buildkit_client().program)}
    done = machine.build(envelope, image, installer, watched=watched)
    try:
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        assert "--build-arg" not in (watched / "words").read_text()
        for each in (done, *failed.values()):
            assert_hidden(company, each.stdout, each.stderr)
        assert_hidden_in_folders(company, [envelope, watched, *(home / "tmp" for home in tmp_path.glob("with*"))])
        assert_hidden_in_image(company, engine, image)
        assert_hidden_in_engine(company, engine)
    finally:
        engine.forget(image)


def assert_hidden(company, *texts: bytes) -> None:
    for text in texts:
        found = [form for form in company.hidden if form in text]
        assert not found, text[max(0, text.find(found[0]) - 300) :][:600]


def assert_hidden_in_folders(company, folders) -> None:
    paths = [path for folder in folders for path in folder.rglob("*")]
    assert paths
    for path in paths:
        assert_hidden(company, str(path).encode(), *([path.read_bytes()] if path.is_file() else []))


def assert_hidden_in_image(company, engine, image, *, package=b"a_main") -> None:
    """Search all layers, the configuration and the history."""
    found = engine.client.images.get(image)
    whole = b"".join(found.save(named=True))
    assert package in whole
    assert_hidden(company, whole, json.dumps(found.attrs).encode(), json.dumps(found.history()).encode())


def assert_hidden_in_engine(company, engine) -> None:
    """Search what the engine tells of its build cache, and all that it has written since: layers, mounts, databases."""
    assert_hidden(company, json.dumps(engine.client.df()).encode())
    root = Path(engine.client.info()["DockerRootDir"])
    if not os.access(root, os.R_OK | os.X_OK):
        return
    patterns = company.stamp.with_name("patterns")
    patterns.write_bytes(b"\n".join(company.hidden) + b"\n")
    new = subprocess.run(
        ["find", root, "-xdev", "-type", "f", "-cnewer", company.stamp, "-print0"], capture_output=True, check=False
    )
    assert b"metadata_v2.db" in new.stdout
    search = [
        "xargs",
        "--null",
        "--no-run-if-empty",
        "grep",
        "--files-with-matches",
        "--fixed-strings",
        f"--file={patterns}",
    ]
    found = subprocess.run(search, input=new.stdout, capture_output=True, check=False).stdout.decode()
    assert not found


def test_the_classic_builder_fetches_here_with_the_same_settings(tmp_path, company, engine, no_dangling):
    """The index is asked at its address: who is on this machine knows no other."""
    host = company.index.hosts[DIRECT]
    address = f"{company.gateway}:{company.index.port}"
    image = f"envelope-test/leaks-classic:{os.getpid()}"
    envelope = envelope_of(tmp_path, company.package(DIRECT))
    (tmp_path / "home" / "tmp").mkdir(parents=True)
    (tmp_path / "noted").write_text(
        f"machine {company.gateway} login {host.credential.user} password {host.credential.password}"
    )
    flags = ["--index-url", f"https://{address}/simple", "--cert", str(company.index.authority)]
    machine = Machine(tmp_path / "home", {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}, flags)
    without = machine.build(envelope, image, "classic")
    assert json.loads(without.stdout)["error"]["code"] == "build.index-forbidden"
    machine.flags += ["--netrc", str(tmp_path / "noted")]
    done = machine.build(envelope, image, "classic")
    try:
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        assert_hidden(company, without.stdout, without.stderr, done.stdout, done.stderr)
        assert_hidden_in_folders(company, [envelope, tmp_path / "home"])
        assert_hidden_in_image(company, engine, image, package=b"a_direct")
    finally:
        engine.forget(image)


@pytest.mark.parametrize("installer", ["uv", "pip", "classic"])
def test_a_wheelhouse_is_enough_without_a_network(tmp_path, company, engine, no_dangling, installer):
    folder = tmp_path / "wheels"
    shutil.copytree(company.serving, folder)
    wheels = Wheelhouse(folder)
    package = f"a-wheel-{uuid.uuid4().hex[:8]}"
    envelope = envelope_of(tmp_path, Pin(package, "1.0", (wheels.add(package),)))
    wheels.add("of-nobody")
    image = f"envelope-test/wheelhouse-{installer}:{os.getpid()}"
    (tmp_path / "home" / "tmp").mkdir(parents=True)
    # Nothing of these is asked.
    nowhere = {"PIP_INDEX_URL": "https://nowhere.invalid/simple", "UV_INDEX_URL": "https://nowhere.invalid/simple"}
    machine = Machine(tmp_path / "home", nowhere, ["--wheelhouse", str(folder)])
    try:
        done = machine.build(envelope, image, installer)
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        assert package.replace("-", "_").encode() in b"".join(engine.client.images.get(image).save())
        if installer == "uv":
            system = make_envelope(tmp_path / "system", lock=b"")
            (system / "env" / "system.json").write_bytes(
                Libraries.of([Library("libodd.so.7", "libodd7", ("odd/a.so",))]).to_bytes()
            )
            seal(system)
            failed = json.loads(machine.build(system, image, installer).stdout)["error"]
            assert (failed["code"], "lacks libodd7" in failed["message"]) == ("build.system-libraries", True)
    finally:
        engine.forget(image)


def test_what_listens_on_this_machine_alone_is_reached_over_its_own_network(tmp_path, company, engine):
    host = company.index.hosts[DIRECT]
    envelope = envelope_of(tmp_path, company.package(DIRECT))
    image = f"envelope-test/loopback:{os.getpid()}"
    (tmp_path / "home" / "tmp").mkdir(parents=True)
    address = f"https://{host.credential.userinfo}@127.0.0.1:{company.index.port}/simple"
    flags = ["--index-url", address, "--cert", str(company.index.authority)]
    machine = Machine(tmp_path / "home", {"PIP_CONFIG_FILE": os.devnull}, flags)
    try:
        done = machine.build(envelope, image, "uv")
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        assert f"127.0.0.1:{company.index.port} can be reached from this machine alone" in done.stderr.decode()
        assert_hidden(company, done.stdout, done.stderr)
    finally:
        engine.forget(image)
