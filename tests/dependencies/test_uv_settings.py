"""What uv's variables and files say, held against uv itself."""

import os
import re
import subprocess

import pytest

from model_envelope.dependencies.programs import find_uv
from model_envelope.dependencies.uv_settings import UvSettings
from model_envelope.foundation.errors import InvalidInput


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def home(tmp_path):
    """A home without anything of this machine's, and places for projects in it."""
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CONFIG_DIRS": f"{tmp_path / 'none'}:{tmp_path / 'etc'}",
    }


def told_by_uv(environ, folder):
    """What `uv pip` itself makes of its settings: indexes that are no default one, the default one, links."""
    words = [find_uv(), "pip", "install", "--show-settings", "anything"]
    done = subprocess.run(
        words, cwd=folder, env={"PATH": os.defpath, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    locations = done.stdout.partition("index_locations")[2]
    indexes, _, links = locations.partition("flat_index")
    entry = r'given: Some\(\s*"([^"]*)".*?explicit: (\w+),\s*default: (\w+)'
    found = [item for item in re.findall(entry, indexes, re.DOTALL) if item[1] == "false"]
    default = next((url for url, _, is_default in found if is_default == "true"), None)
    return {url for url, _, is_default in found if is_default == "false"}, default, re.findall(entry, links, re.DOTALL)


def held_against_uv(environ, folder):
    """Read the settings, and hold them against what uv says; relative ones are told by uv as they stand."""
    settings = UvSettings.from_environment(environ, folder)
    indexes, default, links = told_by_uv(environ, folder)
    assert set(settings.indexes) == indexes
    assert settings.default_index == default
    assert list(settings.find_links) == [url for url, _, _ in links]
    return settings


def index(url, more=""):
    return f'[[index]]\nurl = "https://{url}/simple"\n{more}'


def project(more="", name="x"):
    return f'[project]\nname = "{name}"\nversion = "1"\n{more}'


def test_files_and_variables_are_joined(home, tmp_path):
    write(tmp_path / "etc" / "uv" / "uv.toml", 'extra-index-url = ["https://system/simple"]\n' + index("system2"))
    write(tmp_path / "config" / "uv" / "uv.toml", 'index-url = "https://user/simple"\n' + index("user2"))
    tool = '[tool.uv]\nextra-index-url = ["https://project/simple"]\n[tool.uv.pip]\nfind-links = ["https://links/"]\n'
    tool += "".join(
        f'[[tool.uv.index]]\nname = "{name}"\nurl = "https://{name}/simple"\n{more}'
        for name, more in (("ours", ""), ("torch", "explicit = true\n"))
    )
    write(tmp_path / "project" / "pyproject.toml", project(tool))
    (tmp_path / "project" / "sub").mkdir()
    environ = {**home, "UV_INDEX": "a=https://a/simple https://b/simple", "UV_FIND_LINKS": "https://l1/,https://l2/"}
    settings = held_against_uv(environ, tmp_path / "project" / "sub")
    assert settings.default_index == "https://user/simple"
    assert "https://torch/simple" not in settings.indexes


@pytest.mark.parametrize(
    ("variables", "default"),
    [
        ({"UV_DEFAULT_INDEX": "main=https://one/simple", "UV_INDEX_URL": "https://two/simple"}, "https://one/simple"),
        ({"UV_INDEX_URL": "https://two/simple"}, "https://two/simple"),
        ({}, "https://table/simple"),
        ({"UV_NO_CONFIG": "1", "UV_EXTRA_INDEX_URL": "https://x/simple https://y/simple"}, None),
        ({"UV_CONFIG_FILE": "other.toml"}, "https://other/simple"),
    ],
)
def test_which_default_counts(home, tmp_path, variables, default):
    write(tmp_path / "config" / "uv" / "uv.toml", 'index-url = "https://user/simple"\n')
    write(tmp_path / "uv.toml", index("table", "default = true\n") + index("more"))
    write(tmp_path / "other.toml", '[pip]\nindex-url = "https://other/simple"\n')
    assert held_against_uv({**home, **variables}, tmp_path).default_index == default


def test_which_project_counts(home, tmp_path):
    root = tmp_path / "root"
    write(root / "pyproject.toml", project('[tool.uv]\nindex-url = "https://root/simple"\n'))
    write(root / "member" / "pyproject.toml", project('[tool.uv]\nindex-url = "https://member/simple"\n', "m"))
    deep = root / "member" / "deep"
    write(deep / "uv.toml", 'index-url = "https://deep/simple"\n')
    # A project is looked for first, and what is between it and the current folder does not count.
    assert held_against_uv(home, deep).default_index == "https://member/simple"
    write(root / "member" / "pyproject.toml", project(name="m"))
    assert held_against_uv(home, deep).default_index == "https://root/simple"
    tool = '[tool.uv]\nindex-url = "https://root/simple"\n[tool.uv.workspace]\nmembers = ["mem*"]\n'
    write(root / "pyproject.toml", project(tool))
    write(root / "member" / "pyproject.toml", project('[tool.uv]\nindex-url = "https://member/simple"\n', "m"))
    assert held_against_uv(home, deep).default_index == "https://root/simple"
    (root / "pyproject.toml").unlink()
    (root / "member" / "pyproject.toml").unlink()
    assert held_against_uv(home, deep).default_index == "https://deep/simple"


def test_what_is_relative_is_so_to_its_file(home, tmp_path):
    write(tmp_path / "uv.toml", 'find-links = ["wheels"]\n[[index]]\nurl = "index/simple"\ndefault = true\n')
    (tmp_path / "sub").mkdir()
    settings = UvSettings.from_environment(home, tmp_path / "sub")
    assert settings.default_index == (tmp_path / "index/simple").as_uri()
    assert settings.find_links == ((tmp_path / "wheels").as_uri(),)


def test_a_name_has_its_credentials_in_variables(home, tmp_path):
    environ = {
        **home,
        "UV_INDEX": "my-own.index=https://old:word@host/simple other=https://host2/simple",
        "UV_INDEX_MY_OWN_INDEX_USERNAME": "me",
        "UV_INDEX_MY_OWN_INDEX_PASSWORD": "p@ss/word",
        "UV_INDEX_OTHER_USERNAME": "token",
    }
    settings = UvSettings.from_environment(environ, tmp_path)
    assert settings.indexes == ("https://me:p%40ss%2Fword@host/simple", "https://token@host2/simple")


def test_the_rest_that_leads_to_packages(home, tmp_path):
    write(
        tmp_path / "uv.toml",
        'no-index = true\nhttps-proxy = "http://proxy:1"\nallow-insecure-host = ["a"]\n'
        'keyring-provider = "subprocess"\n',
    )
    settings = UvSettings.from_environment({**home, "UV_INSECURE_HOST": "b c", "UV_HTTP_TIMEOUT": "7"}, tmp_path)
    assert (settings.no_index, settings.keyring, settings.timeout) == (True, True, "7")
    assert settings.insecure_hosts == ("b", "c", "a")
    assert settings.proxies == {"HTTPS_PROXY": "http://proxy:1"}


def test_a_file_that_uv_refuses_is_named(home, tmp_path):
    write(tmp_path / "uv.toml", "index-url =\n")
    with pytest.raises(InvalidInput, match=str(tmp_path / "uv.toml")):
        UvSettings.from_environment(home, tmp_path)
    with pytest.raises(InvalidInput, match="UV_CONFIG_FILE"):
        UvSettings.from_environment({**home, "UV_CONFIG_FILE": "none.toml"}, tmp_path)
    # A malformed pyproject.toml uv passes by.
    (tmp_path / "uv.toml").unlink()
    write(tmp_path / "pyproject.toml", "[tool\n")
    assert UvSettings.from_environment(home, tmp_path) == UvSettings()
