"""How a build is told where packages come from: from flags, pip, uv, netrc, authorities and proxies."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from handmade import make_envelope
from wheelhouses import Wheelhouse

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_uv
from model_envelope.dependencies.uv_settings import UvSettings
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.network import Network
from model_envelope.workflows import network_files
from model_envelope.workflows.build_network import (
    NetworkFlags,
    combined,
    find_network,
    is_loopback,
    proxies_of,
    wheels_for,
)

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


class Engine:
    def __init__(self, *, shares_loopback: bool):
        self.shares_loopback = shares_loopback


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without anything of this machine's, which is the current folder too."""
    for name in os.environ:
        if name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_", "NETRC")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def found(home, tmp_path):
    """A function that finds the network of a build, and gives the notes beside it."""
    files = read_envelope(make_envelope(tmp_path))

    def find(flags=NetworkFlags(), *, shares_loopback=False, fetches_here=False):  # noqa: B008
        notes = []
        engine = Engine(shares_loopback=shares_loopback)
        network = find_network(
            flags, files, Lock(()), engine, lambda event: notes.append(event.text), fetches_here=fetches_here
        )
        return network, notes

    return find


def test_all_places_are_joined_and_flags_win():
    pip = IndexSettings("https://pip/simple", ("https://more/simple",), ("https://links/",), trusted_hosts=("a",))
    uv = UvSettings("https://uv/simple", ("https://named/simple",), insecure_hosts=("b",), timeout="9")
    both = combined(pip, uv, NetworkFlags())
    assert both.index_url == "https://pip/simple"
    assert both.extra_index_urls == ("https://more/simple", "https://named/simple", "https://uv/simple")
    assert (both.trusted_hosts, both.timeout) == (("a", "b"), "9")
    assert combined(IndexSettings(), uv, NetworkFlags()).index_url == "https://uv/simple"
    flags = NetworkFlags("https://flag/simple", ("https://f2/simple",), ("https://f3/",), proxy="http://p:1")
    won = combined(IndexSettings("https://pip/simple", no_index=True), uv, flags)
    assert (won.index_url, won.no_index, won.proxy) == ("https://flag/simple", False, "http://p:1")
    assert won.extra_index_urls == ("https://f2/simple", "https://named/simple")
    assert won.find_links == ("https://f3/",)


def test_what_only_this_machine_has_is_in_no_file():
    settings = IndexSettings(
        index_url="https://user:secret@index.example.com/simple",
        extra_index_urls=("file:///srv/index", "https://more.example.com/simple"),
        find_links=("/srv/wheels", "file:///srv/wheels", "https://links.example.com/"),
        trusted_hosts=("index.example.com",),
    )
    assert network_files.pip_conf(settings).decode() == (
        "[global]\n"
        "index-url = https://user:secret@index.example.com/simple\n"
        "extra-index-url = https://more.example.com/simple\n"
        "find-links = https://links.example.com/\n"
        "trusted-host = index.example.com\n\n"
    )
    for nothing in (IndexSettings(find_links=("/srv/wheels",)), IndexSettings(ca_bundle=Path("/etc/ca.crt"))):
        assert network_files.pip_conf(nothing) == network_files.uv_toml(nothing) == b""


def test_uv_reads_what_is_written_for_it(home):
    settings = IndexSettings(
        "https://u:p%40@main/simple",
        ("https://more/simple", "file:///srv/index"),
        ("https://links/",),
        trusted_hosts=("main", "more:8443"),
    )
    (home / "written.toml").write_bytes(network_files.uv_toml(settings))
    done = subprocess.run(
        [find_uv(), "pip", "install", "--show-settings", "anything"],
        env={"PATH": os.defpath, "HOME": str(home), "UV_CONFIG_FILE": str(home / "written.toml")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "index_strategy: UnsafeBestMatch" in done.stdout
    assert UvSettings.from_environment({"UV_CONFIG_FILE": str(home / "written.toml")}) == UvSettings(
        "https://more/simple", ("https://u:p%40@main/simple",), ("https://links/",), ("main", "more:8443")
    )
    (home / "written.toml").write_bytes(network_files.uv_toml(IndexSettings(no_index=True)))
    assert UvSettings.from_environment({"UV_CONFIG_FILE": str(home / "written.toml")}) == UvSettings(no_index=True)


def test_pip_s_proxy_is_for_all_and_else_the_variables_count():
    environ = {"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1", "NO_PROXY": "intra.example.com"}
    assert proxies_of(IndexSettings(), {"HTTP_PROXY": "http://uv:1"}, environ) == {
        "HTTPS_PROXY": "http://small:1",
        "HTTP_PROXY": "http://uv:1",
        "NO_PROXY": "intra.example.com",
    }
    mine = proxies_of(IndexSettings(proxy="http://mine:1"), {}, {**environ, "ALL_PROXY": "http://all:1"})
    assert mine == {"HTTP_PROXY": "http://mine:1", "HTTPS_PROXY": "http://mine:1", "NO_PROXY": "intra.example.com"}
    assert network_files.proxy_lines({"NO_PROXY": "x"}) == b"NO_PROXY=x\nno_proxy=x\n"
    assert network_files.apt_proxies(mine).decode() == (
        'Acquire::http::Proxy "http://mine:1";\nAcquire::http::Proxy::intra.example.com "DIRECT";\n'
        'Acquire::https::Proxy "http://mine:1";\nAcquire::https::Proxy::intra.example.com "DIRECT";\n'
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://localhost:3128", True),
        ("localhost:3128", True),
        ("http://me:word@127.0.0.1:3128", True),
        ("https://[::1]/simple", True),
        ("http://devpi.localhost/simple", True),
        ("http://10.0.0.1:3128", False),
        ("https://localhost.example.com/simple", False),
    ],
)
def test_what_each_machine_has_for_itself(address, expected):
    assert is_loopback(address) is expected


def test_a_proxy_on_this_machine_is_reached_over_its_network_or_left_out_and_told(found, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter22@localhost:3128")
    network, notes = found(shares_loopback=True)
    assert network.mode == "host"
    assert b"localhost:3128" in network.proxy
    network, notes = found(shares_loopback=False)
    assert (network.mode, network.proxy, network.apt_conf) == ("", b"", b"")
    assert [text for text in notes if "localhost:3128" in text and "elsewhere" in text]
    assert "hunter22" not in str(notes)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    network, notes = found(NetworkFlags("http://127.0.0.1:3141/simple", ("https://more/simple",)))
    assert b"127.0.0.1" not in network.pip_conf + network.uv_toml
    assert b"https://more/simple" in network.pip_conf
    assert b"proxy.example.com" in network.proxy


def test_of_a_netrc_only_what_the_build_may_ask_travels(found, home, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example.com/simple")
    (home / ".netrc").write_text(
        "# of a team\nmachine git.example.com\n  login me\n  password hunter22\n"
        'machine packages.example.com login me password "hunter 33"\ndefault login you password hunter44\n'
    )
    expected = b'machine packages.example.com login me password "hunter 33"\ndefault login you password hunter44\n'
    assert found()[0].netrc == expected
    (home / ".netrc").write_text("machine packages.example.com login me password x\nmacdef init\nbell\n\n")
    assert b"macdef" in found()[0].netrc, "what is not understood is left as it is"


def test_passwords_of_netrc_travel_where_they_are_of_use(found, home, tmp_path, monkeypatch):
    (home / ".netrc").write_text("machine git.example.com login me password hunter22\n")
    assert found()[0].netrc == b""
    flags = NetworkFlags("https://packages.example.com/simple")
    (home / ".netrc").write_text("machine packages.example.com login me password hunter22\n")
    network, _ = found(flags)
    assert b"hunter22" in network.netrc
    assert network.redact("said hunter22") == "said ****"
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert found(flags)[0].netrc == b""
    (tmp_path / "named").write_text("machine other login me password hunter33\n")
    assert b"hunter33" in found(NetworkFlags(netrc=tmp_path / "named"))[0].netrc
    with pytest.raises(InvalidInput, match="--netrc"):
        found(NetworkFlags(netrc=tmp_path / "none"))


def test_authorities_of_all_variables_are_joined_and_a_flag_wins(found, home, monkeypatch):
    for name, variable in (("one", "REQUESTS_CA_BUNDLE"), ("two", "SSL_CERT_FILE"), ("three", "PIP_CERT")):
        (home / name).write_text(f"a comment\n{CERTIFICATE.format('shared')}{CERTIFICATE.format(name)}")
        monkeypatch.setenv(variable, str(home / name))
    content = found()[0].ca.decode()
    assert [content.count(word) for word in ("one", "two", "three", "shared", "comment")] == [1, 1, 1, 1, 0]
    assert found(NetworkFlags(cert=home / "two"))[0].ca.decode().split("\n")[1::3] == ["shared", "two"]
    (home / "empty").write_text("nothing")
    with pytest.raises(InvalidInput, match="no certificate") as caught:
        found(NetworkFlags(cert=home / "empty"))
    assert caught.value.code == "build.cert"
    monkeypatch.setenv("PIP_CERT", str(home / "gone"))
    assert any(str(home / "gone") in text for text in found()[1])


def test_the_machine_s_own_authorities_are_handed_on_where_none_are_named(found, monkeypatch, tmp_path):
    own = tmp_path / "own.pem"
    own.write_text(CERTIFICATE.format("own"))
    paths = type("Paths", (), {"cafile": str(own)})
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: paths)
    assert b"own" in found()[0].ca


def test_the_machine_s_own_authorities_are_looked_for_where_each_system_has_them(found, monkeypatch, tmp_path):
    """A Python that is not the system's own knows of none."""
    there = tmp_path / "there.pem"
    there.write_text(CERTIFICATE.format("there"))
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: type("Paths", (), {"cafile": None}))
    monkeypatch.setattr(
        "model_envelope.workflows.network_files._STORES", (str(tmp_path / "other-system.pem"), str(there))
    )
    assert b"there" in found()[0].ca


def test_what_cannot_be_handed_on_is_told(found, monkeypatch):
    monkeypatch.setenv("PIP_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("PIP_CLIENT_CERT", "/home/me/client.pem")
    notes = " ".join(found()[1])
    assert "keyring" in notes
    assert "client certificate" in notes
    # A pip on this machine has both.
    assert found(fetches_here=True)[1] == []


def test_wheels_of_local_folders_are_taken_and_an_index_that_only_lists_is_told(home, tmp_path, monkeypatch, found):
    folder = home / "my wheels"
    folder.mkdir()
    pin = Pin("held", "1.0", (Wheelhouse(folder).add("held"),))
    index = home / "index"
    (index / "listed").mkdir(parents=True)
    (index / "listed" / "index.html").write_text('<a href="../../elsewhere/listed-1.0-py3-none-any.whl">x</a>')
    network, _ = found(NetworkFlags(find_links=(str(folder),), extra_index_urls=(index.as_uri(),)))
    assert set(network.folders) == {folder, index}
    notes = []
    files = read_envelope(tmp_path / "scorer")
    lock = Lock((pin, Pin("listed", "1.0", (f"sha256:{'0' * 64}",))))
    wheels = wheels_for(
        files, lock, NetworkFlags(), network, Platform("linux", "amd64"), lambda event: notes.append(event.text)
    )
    assert [path.name for path in wheels] == ["held-1.0-py3-none-any.whl"]
    assert len(notes) == 1
    assert "lists listed without holding" in notes[0]


def test_a_wheelhouse_cuts_the_network_and_stands_alone(found, tmp_path):
    network, _ = found(NetworkFlags(wheelhouse=tmp_path))
    assert (network.mode, network.secrets) == ("none", {})
    with pytest.raises(InvalidInput, match="--extra-index-url, --find-links, --proxy would"):
        found(
            NetworkFlags(wheelhouse=tmp_path, extra_index_urls=("https://x/",), find_links=("x",), proxy="http://p"),
        )


def test_secret_files_are_for_this_user_alone_and_gone_afterwards():
    network = Network(pip_conf=b"[global]", proxy=b"HTTPS_PROXY=x\n", mode="host")
    before = os.umask(0)
    try:
        with network.words() as words:
            paths = [Path(word.partition("src=")[2]) for word in words if "src=" in word]
            assert words[:2] == ["--network", "host"]
            assert [path.name for path in paths] == ["pip_conf", "proxy"]
            for path in paths:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)
    assert not any(path.parent.exists() for path in paths)
