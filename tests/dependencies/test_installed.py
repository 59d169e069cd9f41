"""Which distribution a module belongs to, in environments made for it."""

import base64
import hashlib
import sys
import time

import pytest

from model_envelope.dependencies import distribution as module
from model_envelope.dependencies.installed import Installed


def test_names_versions_and_requirements(environment):
    environment.install("Scikit_Learn", "1.5.2", requires=["numpy>=1.19", "pandas>=1; extra == 'docs'"])
    found = environment.read().distributions["scikit-learn"]
    assert (found.name, found.version) == ("Scikit_Learn", "1.5.2")
    assert found.requires == ("numpy>=1.19", "pandas>=1; extra == 'docs'")
    assert found.location == environment.folder
    assert not found.editable


@pytest.mark.parametrize(
    ("module", "owners"),
    [
        ("sklearn", ("scikit-learn",)),
        ("sklearn.pipeline.Pipeline", ("scikit-learn",)),
        ("yaml", ("pyyaml",)),
        ("_yaml", ("pyyaml",)),
        ("six.moves.urllib", ("six",)),
        ("google.cloud.storage.Blob", ("google-cloud-storage",)),
        ("google.cloud.bigquery", ("google-cloud-bigquery",)),
        ("google.cloud", ()),
        ("google", ()),
        ("google.mine", ()),
        ("cv2", ("opencv-python", "opencv-python-headless")),
        ("_fast", ("fast-thing",)),
        ("nothing", ()),
    ],
)
def test_owners_of_modules(environment, module, owners):
    environment.install(
        "scikit-learn", files={"sklearn/__init__.py": "", "sklearn/pipeline.py": ""}, top_level="sklearn\n"
    )
    environment.install("PyYAML", files={"yaml/__init__.py": "", "_yaml/__init__.py": ""}, top_level="_yaml\nyaml\n")
    environment.install("six", files={"six.py": ""})
    environment.install("google-cloud-storage", files={"google/cloud/storage/__init__.py": ""}, top_level="google")
    environment.install("google-cloud-bigquery", files={"google/cloud/bigquery/__init__.py": ""})
    environment.install("opencv-python", files={"cv2/__init__.py": ""})
    environment.install("opencv-python-headless", files={"cv2/__init__.py": ""})
    environment.install("fast-thing", files={"_fast.cpython-311-x86_64-linux-gnu.so": "", "fast_thing.libs/x.so": ""})
    assert environment.read().owners(module) == owners


def test_a_module_that_the_list_of_top_levels_lacks_is_found_in_the_record(environment):
    environment.install("lists-too-little", files={"public.py": "", "hidden.py": ""}, top_level="public")
    assert environment.read().owners("hidden") == ("lists-too-little",)


def test_metadata_without_a_record(environment):
    environment.install(
        "from-a-system", files={"from_a_system/__init__.py": "", "from_a_system/part.py": ""}, record=False
    )
    environment.install("other", files={"named.py": ""}, top_level="named", record=False)
    assert environment.read().owners("from_a_system.part") == ("from-a-system",)
    assert environment.read().owners("named") == ("other",)


def test_what_is_broken_or_half_removed_is_passed_over(environment):
    environment.install("good")
    (environment.folder / "~umpy-1.0.dist-info").mkdir()
    (environment.folder / "empty-1.0.dist-info").mkdir()
    (environment.folder / "bad-2.0.dist-info").mkdir()
    (environment.folder / "bad-2.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
    (environment.folder / "bad-2.0.dist-info" / "direct_url.json").write_text("{")
    found = environment.read()
    assert set(found.distributions) == {"good", "bad"}
    assert found.distributions["bad"].requires == ()
    assert found.owners("nothing") == ()


def test_the_first_on_the_path_counts(environment, tmp_path):
    environment.install("thing", "2.0")
    second = type(environment)(tmp_path / "system" / "dist-packages")
    second.install("thing", "1.0")
    environment.extra_path = [second.folder, tmp_path / "not-there"]
    assert environment.read().versions == {"thing": "2.0"}


def test_checkouts_own_nothing_and_constrain_nothing(environment, tmp_path):
    environment.install(
        "our-models", files={}, direct_url={"url": f"file://{tmp_path}/our%20models", "dir_info": {"editable": True}}
    )
    environment.install("built", direct_url={"url": "file:///wheels/built-1.0-py3-none-any.whl", "archive_info": {}})
    git = {"url": "https://git.example/from-git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    environment.install("from-git", direct_url=git)
    old = tmp_path / "checkout"
    (old / "legacy.egg-info").mkdir(parents=True)
    (old / "legacy.egg-info" / "PKG-INFO").write_text("Name: legacy\nVersion: 0.1\n")
    (old / "legacy").mkdir()
    (old / "legacy" / "__init__.py").write_text("")
    environment.extra_path = [old]
    found = environment.read()
    assert found.distributions["our-models"].project == tmp_path / "our models"
    assert found.distributions["legacy"].editable
    assert found.versions == {"built": "1.0", "from-git": "1.0"}
    assert found.owners("our_models") == found.owners("legacy") == ()
    assert found.origins["from-git"] == "git+https://git.example/from-git@abc123"
    assert found.origins["built"] == "file:///wheels/built-1.0-py3-none-any.whl"


def test_reading_a_crowded_environment_takes_a_moment(environment):
    for number in range(200):
        files = {f"package{number}/__init__.py": "", **{f"package{number}/m{part}.py": "" for part in range(10)}}
        environment.install(f"package{number}", files=files, requires=["package1"])
    began = time.perf_counter()
    found = environment.read()
    assert found.owners("package77.m3") == ("package77",)
    assert len(found.distributions) == 200
    # A tenth of this on an idle machine.
    assert time.perf_counter() - began < 1.0


def test_reads_this_environment():
    found = Installed.read(sys.path)
    assert found.owners("sklearn.linear_model._logistic") == ("scikit-learn",)
    assert found.owners("numpy._core.multiarray") == ("numpy",)
    assert found.owners("dateutil.parser") == ("python-dateutil",)
    assert found.distributions["model-envelope"].editable


def test_a_module_loaded_under_another_name_is_known_by_its_file(tmp_path):
    package = tmp_path / "site-packages"
    (package / "kit" / "_loss").mkdir(parents=True)
    (package / "kit" / "__init__.py").touch()
    extension = package / "kit" / "_loss" / "_loss.cpython-311-x86_64-linux-gnu.so"
    extension.touch()
    info = package / "kit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kit\nVersion: 1.0\n")
    names = ["kit/__init__.py", extension.relative_to(package).as_posix()]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    installed = Installed.read([str(package)])
    assert installed.real_name("_loss", str(extension)) == "kit._loss._loss"
    assert installed.real_name("kit", str(package / "kit" / "__init__.py")) == "kit"
    assert installed.real_name("mine", str(tmp_path / "mine.py")) == "mine"


def test_the_size_of_a_distribution_is_that_of_its_files_without_bytecode(environment):
    info = environment.install("sized", files={"sized/__init__.py": "x" * 100, "sized/data.bin": "x" * 50})
    (info / "RECORD").write_text(
        "sized/__init__.py,sha256=abc,100\nsized/data.bin,,\nsized/gone.txt,,\nsized/__pycache__/__init__.pyc,,999\n"
    )
    environment.install("unrecorded", record=False)
    found = environment.read().distributions
    assert found["sized"].size == 150
    assert found["unrecorded"].size is None


def test_of_two_that_install_one_module_that_counts_whose_file_is_there(environment):
    for name, content in (("opencv-python", "old"), ("opencv-python-headless", "new"), ("opencv-same", "new")):
        info = environment.install(name, files={"cv2/__init__.py": content})
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        (info / "RECORD").write_text(f"cv2/__init__.py,sha256={digest},3\n")
    assert environment.read().owners("cv2.dnn") == ("opencv-python-headless", "opencv-same")


def test_what_debian_installed_is_known_by_its_lists(environment, tmp_path, monkeypatch):
    packages = tmp_path / "usr" / "lib" / "python3" / "dist-packages"
    system = type(environment)(packages)
    info = system.install("beautifulsoup4", "4.12", files={"bs4/__init__.py": "", "bs4/dammit.py": ""}, record=False)
    lists = tmp_path / "info"
    lists.mkdir()
    names = [
        packages / "bs4",
        packages / "bs4" / "__init__.py",
        packages / "bs4" / "dammit.py",
        info,
        info / "METADATA",
    ]
    (lists / "python3-bs4.list").write_text("\n".join(map(str, ["/.", *names])) + "\n")
    monkeypatch.setattr(module, "DEBIAN_LISTS", lists)
    found = Installed.read([str(packages)])
    assert found.owners("bs4.dammit") == ("beautifulsoup4",)
    assert found.distributions["beautifulsoup4"].size == (info / "METADATA").stat().st_size


def test_a_record_that_is_damaged_is_read_as_far_as_it_is_whole(environment):
    info = environment.install("damaged", files={"damaged/__init__.py": ""})
    (info / "RECORD").write_text('damaged/__init__.py,,\n"' + "x" * 200_000)
    found = environment.read()
    assert found.owners("damaged") == ("damaged",)
    assert found.distributions["damaged"].size == 0
