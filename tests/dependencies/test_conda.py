"""What is read of a conda environment and of conda's settings; and what conda says when it fails."""

import json
from pathlib import Path

import pytest
from handmade_elf import install

from model_envelope.dependencies.conda.channels import Channels, read_channels
from model_envelope.dependencies.conda.environment import (
    CondaEnvironment,
    chosen_platforms,
    platform_of,
    read_conda_environment,
)
from model_envelope.dependencies.conda.locking import CondaLockRequest, _error
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.process import Finished

FORGE = "https://conda.anaconda.org/conda-forge"
SITE = "lib/python3.11/site-packages"


def record(prefix, name, version, subdir="linux-64", files=(), **more):
    meta = prefix / "conda-meta"
    meta.mkdir(exist_ok=True, parents=True)
    (meta / "history").touch()
    document = {"name": name, "version": version, "build": "0", "subdir": subdir, "files": list(files)}
    document["url"] = f"{FORGE}/{subdir}/{name}-{version}-0.conda"
    (meta / f"{name}-{version}-0.json").write_text(json.dumps({**document, **more}))


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    for name in ("CONDARC", "CONDA_CHANNELS", "MAMBA_ROOT_PREFIX", "CONDA_ROOT", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    folder = tmp_path / "environment"
    record(folder, "python", "3.11.9")
    record(folder, "pytorch", "2.1.0", files=[f"{SITE}/torch-2.1.0.dist-info/METADATA", f"{SITE}/torch/__init__.py"])
    record(folder, "pyyaml", "6.0", files=[f"{SITE}/PyYAML-6.0-py3.11.egg-info/PKG-INFO"])
    record(folder, "numpy", "2.0.1", files=[f"{SITE}/numpy-2.0.1.dist-info/METADATA"])
    site = folder / SITE
    install(site, "torch", "2.1.0", {}, installer="conda")
    install(site, "numpy", "2.4.0", {})  # pip upgraded it in place
    install(site, "tacked", "0.5", {})
    (site / "PyYAML-6.0-py3.11.egg-info").mkdir()
    (site / "PyYAML-6.0-py3.11.egg-info" / "PKG-INFO").write_text("Name: PyYAML\nVersion: 6.0\n")
    return folder


def environment(prefix) -> CondaEnvironment:
    found = read_conda_environment(prefix, Installed.read([str(prefix / SITE)]))
    assert found is not None
    return found


def test_who_has_a_distribution_is_told_by_the_records(prefix):
    found = environment(prefix)
    assert found.owners == {"pyyaml": "pyyaml", "torch": "pytorch"}
    assert found.platform == "linux-64"
    assert found.channels == (FORGE,)
    assert CondaEnvironment.from_document(json.loads(json.dumps(found.to_document()))) == found


def request_of(prefix, requirements=b"torch==2.1.0\n", along=(), **options):
    return CondaLockRequest(requirements, dict(along), environment(prefix), ["linux-64"], **options)


def test_what_is_asked_for_are_the_versions_of_the_environment(prefix):
    along = {"numpy": "2.4.0", "pyyaml": "6.0", "torch": "2.1.0", "tacked": "0.5"}
    asked = request_of(prefix, b"torch==2.1.0\ntacked==0.5\nsomething-else>=4\n", along)
    assert asked.conda_specs() == ["python ==3.11.9", "pytorch ==2.1.0", "pyyaml ==6.0"]
    assert asked.pip_lines() == ["numpy==2.4.0", "something-else>=4", "tacked==0.5"]
    assert asked.names()["torch"] == {"conda_name": "pytorch", "pypi_name": "torch"}


def test_another_folder_is_no_conda_environment(tmp_path):
    assert read_conda_environment(tmp_path, Installed({})) is None
    record(tmp_path, "tzdata", "2024a", "noarch")
    assert read_conda_environment(tmp_path, Installed({})) is None, "it has no Python"


def test_channels_come_in_the_order_of_the_settings(prefix):
    record(prefix, "mine", "1.0", url="https://me:pass@repo.example.com/t/tk-123/team/linux-64/mine-1.0-0.conda")
    (Path.home() / ".condarc").write_text("channels:\n  - https://repo.example.com/team\n  - conda-forge\n  - unused\n")
    assert environment(prefix).channels == ("https://repo.example.com/team", FORGE)
    (prefix / ".condarc").write_text("channels: [conda-forge]\n")
    assert environment(prefix).channels == (FORGE, "https://repo.example.com/team")


def test_an_environment_whose_records_tell_nothing_has_the_channels_of_the_settings(tmp_path, prefix):
    bare = tmp_path / "bare"
    record(bare, "python", "3.11.9", url="", channel="pypi")
    (Path.home() / ".condarc").write_text("channels: [conda-forge]\n")
    found = read_conda_environment(bare, Installed({}))
    assert found is not None
    assert found.channels == (FORGE,)


def test_names_of_channels_are_read_as_conda_does(prefix):
    (Path.home() / ".condarc").write_text(
        "channels: [team, defaults, bioconda, /srv/local, nodefaults]\n"
        "channel_alias: https://mirror.example.com/\n"
        "custom_channels: {team: 'https://${WHO}:${WORD}@repo.example.com'}\n"
        "default_channels: [https://mirror.example.com/main]\n"
    )
    found = read_channels(environ={"HOME": str(Path.home()), "WHO": "me", "WORD": "hunter2hunter2"})
    assert found.configured == (
        "https://me:hunter2hunter2@repo.example.com/team",
        "https://mirror.example.com/main",
        "https://mirror.example.com/bioconda",
        "file:///srv/local",
    )
    assert found.addresses[0] == "https://repo.example.com/team"
    assert "hunter2hunter2" in found.secrets()


def test_credentials_are_handed_on_and_nowhere_kept(prefix):
    channels = Channels((f"{FORGE}", "https://me:hunter2hunter2@repo.example.com/t/tk-123-456/team"))
    url = "https://repo.example.com/team/noarch/a-1-0.conda"
    assert channels.authorised(url) == (
        "https://me:hunter2hunter2@repo.example.com/t/tk-123-456/team/noarch/a-1-0.conda"
    )
    assert channels.authorised(f"{FORGE}/noarch/a.conda") == f"{FORGE}/noarch/a.conda"
    record(prefix, "mine", "1.0", url="https://repo.example.com/team/linux-64/mine-1.0-0.conda")
    asked = request_of(prefix, channels=channels)
    assert "hunter2hunter2" in json.dumps(asked.document())
    assert "hunter2hunter2" not in json.dumps(asked.environment.to_document())
    said = "Could not lock the environment for platform linux-64\nCondaHTTPError: https://me:hunter2hunter2@repo/t/tk-123-456"
    error = _error(asked, Finished(("conda-lock",), 1, "", said), Path("conda"))
    assert "hunter2" not in str(error)
    assert "tk-123" not in str(error)


def test_settings_that_cannot_be_read_are_named(prefix):
    (Path.home() / ".condarc").write_text("channels: [a\n")
    with pytest.raises(InvalidInput) as caught:
        environment(prefix)
    assert caught.value.code == "conda.bad-config"
    assert ".condarc" in caught.value.message


def test_indexes_of_pip_are_handed_on_but_for_those_of_this_machine(prefix):
    index = IndexSettings(
        index_url="https://index/simple", extra_index_urls=("file:///srv/simple", "https://more/simple")
    )
    document = request_of(prefix, index=index).document()
    assert document["pip-repositories"] == ["https://index/simple", "https://more/simple"]
    assert document["allow-pypi-requests"] is False
    assert request_of(prefix).document()["allow-pypi-requests"] is True


@pytest.mark.parametrize(
    ("asked", "here", "chosen"),
    [
        ((), "osx-arm64", ("linux-64", "osx-arm64")),
        ((), "linux-64", ("linux-64",)),
        ((), "", ("linux-64",)),
        (("linux/arm64", "osx-64", "osx-64"), "linux-64", ("linux-aarch64", "osx-64")),
    ],
)
def test_the_platforms(asked, here, chosen):
    assert chosen_platforms(asked, here) == chosen


def test_this_machine_has_a_name_in_conda():
    assert platform_of("linux-x86_64") == "linux-64"
    assert platform_of("macosx-14.0-arm64") == "osx-arm64"
    assert platform_of("linux-riscv64") == ""


FAILED = "Could not lock the environment for platform linux-64\n"
SAID = [
    (
        "PackagesNotFoundError: These packages are not available from current channels:\n\n  - pytorch==2.1.0\n",
        "lock.package-gone",
        "`pytorch==2.1.0` for linux-64",
    ),
    (
        "LibMambaUnsatisfiableError: Encountered problems:\n  - nothing provides requested pytorch 2.1.0\n",
        "lock.package-gone",
        "pytorch 2.1.0",
    ),
    (
        "error    libmamba\n    └─ pytorch ==2.1.0 does not exist (perhaps a typo or a missing channel).\n",
        "lock.package-gone",
        "pytorch ==2.1.0",
    ),
    (
        "Encountered problems while solving:\n  - package a-1-0 requires b >=2, but none can be installed\n",
        "lock.unsolvable",
        "`pytorch ==2.1.0`",
    ),
    (
        f"CondaHTTPError: HTTP 000 CONNECTION FAILED for url <{FORGE}/linux-64/repodata.json>\n",
        "lock.channel-unreachable",
        FORGE,
    ),
    (
        f"UnavailableInvalidChannel: HTTP 404 NOT FOUND for channel team <{FORGE}>\n",
        "lock.channel-unreachable",
        FORGE,
    ),
    (
        f"error    libmamba Download error (6) Could not resolve hostname [{FORGE}/linux-64/repodata.json.zst]\n",
        "lock.channel-unreachable",
        FORGE,
    ),
    ("Segmentation fault\n", "lock.failed", "`conda`"),
]
PIP_SAID = [
    ("RepositoryError: All attempts to connect to pypi.org failed.\n", "lock.index-unreachable", "pip"),
    (
        "SolverProblemError: Because it depends on tacked (0.5) which doesn't match any versions, solving failed.\n",
        "lock.package-gone",
        "tacked (0.5)",
    ),
]


@pytest.mark.parametrize(
    ("said", "code", "named"), [*((FAILED + said, code, named) for said, code, named in SAID), *PIP_SAID]
)
def test_each_way_to_fail_has_its_own_words(prefix, said, code, named):
    error = _error(request_of(prefix), Finished(("conda-lock",), 1, "", said), Path("conda"))
    assert error.code == code
    assert named in error.message
    assert error.hint
