"""Where packages come from: what pip's configuration says, for uv too, and no credential in anything that is shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_envelope.dependencies.index import IndexSettings
from model_envelope.foundation.errors import InvalidInput


@pytest.fixture
def home(tmp_path):
    """A home without anything of this machine's; what a test writes there is all that is configured."""
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CONFIG_DIRS": str(tmp_path / "etc"),
    }


def write(folder, content):
    path = Path(folder) / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return path


def test_variables_win_over_the_user_s_file_and_that_over_the_machine_s(home):
    write(home["XDG_CONFIG_DIRS"], "[global]\nindex-url = https://machine/simple\ntrusted-host = machine\n")
    write(
        home["XDG_CONFIG_HOME"],
        "[global]\nindex_url = https://user/simple\nextra-index-url = https://a/simple\n  https://b/simple\n",
    )
    settings = IndexSettings.from_environment({**home, "PIP_FIND_LINKS": "https://wheels.example/ /opt/w"})
    assert settings.index_url == "https://user/simple"
    assert settings.extra_index_urls == ("https://a/simple", "https://b/simple")
    assert settings.trusted_hosts == ("machine",)
    assert settings.find_links == ("https://wheels.example/", "/opt/w")
    settings = IndexSettings.from_environment({**home, "PIP_INDEX_URL": "https://variable/simple"})
    assert settings.index_url == "https://variable/simple"


def test_a_named_file_takes_the_place_of_the_user_s(home, tmp_path):
    write(home["XDG_CONFIG_HOME"], "[global]\nextra-index-url = https://user/simple\n")
    named = tmp_path / "named.conf"
    named.write_text("[install]\nindex-url = https://named/simple\n")
    settings = IndexSettings.from_environment({**home, "PIP_CONFIG_FILE": str(named)})
    assert settings.index_url == "https://named/simple"
    assert settings.extra_index_urls == ()
    none = IndexSettings.from_environment({**home, "PIP_CONFIG_FILE": os.devnull})
    assert (none.index_url, none.extra_index_urls) == (None, ())


def test_pip_itself_reads_the_same(home, tmp_path):
    write(
        home["XDG_CONFIG_HOME"],
        "[global]\nindex-url = https://user/simple\n[install]\nextra-index-url = https://a/simple\n",
    )
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[global]\nindex-url = https://old/simple\nno-index = yes\n")
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={**home, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    settings = IndexSettings.from_environment(home)
    assert "global.index-url='https://user/simple'" in listed
    assert settings.index_url == "https://user/simple"
    assert settings.extra_index_urls == ("https://a/simple",)
    assert settings.no_index


def test_folders_are_named_from_the_root(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = IndexSettings.from_environment({**home, "PIP_FIND_LINKS": "wheels", "PIP_INDEX_URL": "index/simple"})
    assert settings.find_links == (str(tmp_path / "wheels"),)
    assert settings.index_url == (tmp_path / "index/simple").as_uri()


def test_a_file_that_pip_cannot_read_is_named(home):
    path = write(home["XDG_CONFIG_HOME"], "index-url = https://user/simple\n")
    with pytest.raises(InvalidInput, match=str(path)):
        IndexSettings.from_environment(home)


def test_uv_is_given_the_main_index_first():
    settings = IndexSettings("https://main/simple", ("https://a/simple", "https://b/simple"), ca_bundle=Path("/ca.pem"))
    assert settings.uv_environment({}) == {
        "UV_INDEX": "https://main/simple https://a/simple",
        "UV_DEFAULT_INDEX": "https://b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/ca.pem",
    }
    assert IndexSettings("https://main/simple").uv_environment({}) == {"UV_DEFAULT_INDEX": "https://main/simple"}
    assert IndexSettings().uv_environment({}) == {}


def test_proxy_and_patience_are_handed_over(home):
    proxy = "http://me:hunter22@proxy:3128"
    alone = {**home, "PIP_CONFIG_FILE": os.devnull}
    settings = IndexSettings.from_environment({**alone, "PIP_PROXY": proxy, "PIP_DEFAULT_TIMEOUT": "180"})
    assert settings.uv_environment({}) == {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "UV_HTTP_TIMEOUT": "180"}
    assert settings.pip_environment() == {"PIP_PROXY": proxy, "PIP_TIMEOUT": "180"}
    assert settings.redact("with hunter22") == "with ****"


def test_what_the_user_set_for_uv_stays():
    settings = IndexSettings("https://main/simple", find_links=("/w",))
    given = settings.uv_environment({"UV_INDEX_URL": "https://own/simple", "UV_FIND_LINKS": "/own"})
    assert given == {}


def test_pip_is_given_all_of_it_as_variables():
    settings = IndexSettings("https://main/simple", ("https://a/simple",), ("/w",), ("host",), Path("/ca.pem"))
    assert settings.pip_environment() == {
        "PIP_INDEX_URL": "https://main/simple",
        "PIP_EXTRA_INDEX_URL": "https://a/simple",
        "PIP_FIND_LINKS": "/w",
        "PIP_TRUSTED_HOST": "host",
        "PIP_CERT": "/ca.pem",
    }


def test_credentials_are_never_shown():
    settings = IndexSettings("https://bob:p%40ssword@main/simple", ("https://tok3n-abc@extra/simple",))
    said = (
        "failed to fetch https://bob:p%40ssword@main/simple/six/ with p@ssword, token tok3n-abc, "
        "and https://other:word@elsewhere/x; contact bob"
    )
    shown = settings.redact(said)
    for secret in ("p%40ssword", "p@ssword", "tok3n-abc", "word@"):
        assert secret not in shown
    assert "main/simple/six/" in shown
    assert "contact bob" in shown
