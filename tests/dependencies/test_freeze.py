import json
import subprocess
import sys

import pytest
from handmade_elf import install

from model_envelope.dependencies.freeze import conda_list, pip_freeze
from model_envelope.dependencies.installed import Installed

COMMIT = "65486e4383f9f411da95937451205d3c7b61b9e1"
DIRECT = {
    "from-git": {"url": "https://host/a.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}, "subdirectory": "lib"},
    "from-archive": {"url": "https://host/b-1.0.tar.gz", "archive_info": {"hash": "sha256=00ff"}},
    "from-newer-archive": {
        "url": "https://host/c-1.0.whl",
        "archive_info": {"hashes": {"sha256": "00ff"}, "hash": "sha256=00ff"},
    },
    "from-folder": {"url": "file:///srv/d", "dir_info": {}},
}


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    install(folder, "PyYAML", "6.0", {"yaml/__init__.py": b""})
    install(folder, "zope.interface", "7.0", {"zope/interface/__init__.py": b""})
    for name, document in DIRECT.items():
        install(folder, name, "1.0", {}, more={"direct_url.json": json.dumps(document)})
    project = tmp_path / "project"
    project.mkdir()
    editable = {"url": project.as_uri(), "dir_info": {"editable": True}}
    install(folder, "mine", "0.1", {}, more={"direct_url.json": json.dumps(editable)})
    return folder


def frozen(site, **options):
    return pip_freeze(Installed.read([str(site)]), **options)


def test_pip_itself_writes_the_same(site):
    words = [sys.executable, "-m", "pip", "freeze", "--all", "--disable-pip-version-check", "--path", str(site)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert frozen(site) == done.stdout.splitlines()


def test_an_editable_distribution_is_named_by_its_commit(site):
    lines = frozen(site, checkout=lambda folder, name: f"git+https://host/{folder.name}@{COMMIT}#egg={name}")
    assert f"-e git+https://host/project@{COMMIT}#egg=mine" in lines
    assert not [line for line in lines if line.startswith("#")]


RECORDS = {
    "python-3.11.9-hb_0": {"subdir": "linux-64", "md5": "0" * 32},
    "numpy-2.0.1-py311_0": {"subdir": "linux-64", "md5": "1" * 32},
    "tzdata-2024a-h0_0": {"subdir": "noarch"},
}


@pytest.fixture
def conda(tmp_path):
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    (meta / "history").write_text("")
    for stem, more in RECORDS.items():
        name, version, build = stem.split("-")
        url = f"https://conda.anaconda.org/conda-forge/{more['subdir']}/{stem}.conda"
        (meta / f"{stem}.json").write_text(
            json.dumps({"name": name, "version": version, "build": build, "url": url, **more})
        )
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    install(site, "numpy", "2.0.1", {}, installer="conda")
    install(site, "By_Pip", "1.0", {})
    return tmp_path, Installed.read([str(site)])


def test_a_conda_environment_is_listed_both_ways(conda):
    found = conda_list(*conda)
    assert found.export == [
        "# platform: linux-64",
        "by-pip=1.0=pypi_0",
        "numpy=2.0.1=py311_0",
        "python=3.11.9=hb_0",
        "tzdata=2024a=h0_0",
    ]
    assert found.explicit == [
        "# platform: linux-64",
        "@EXPLICIT",
        f"https://conda.anaconda.org/conda-forge/linux-64/numpy-2.0.1-py311_0.conda#{'1' * 32}",
        f"https://conda.anaconda.org/conda-forge/linux-64/python-3.11.9-hb_0.conda#{'0' * 32}",
        "https://conda.anaconda.org/conda-forge/noarch/tzdata-2024a-h0_0.conda",
    ]


def test_a_record_that_cannot_be_read_hides_no_other(conda):
    (conda[0] / "conda-meta" / "broken-1-0.json").write_text("{")
    (conda[0] / "conda-meta" / "odd-1-0.json").write_text('{"name": 5}')
    assert len(conda_list(*conda).export) == 5


def test_another_environment_has_no_such_lists(tmp_path):
    assert conda_list(tmp_path, Installed({})) is None
