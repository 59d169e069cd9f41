import subprocess
import sys
from pathlib import Path

import pytest

from model_envelope.assembling.installed import distributions
from model_envelope.assembling.pruning import prune, read_rules


@pytest.fixture
def installed(tmp_path):
    """A function that puts a distribution of some files into an environment, and prunes it."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"

    def prune_of(files: dict[str, str], name: str = "pack") -> set[str]:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        for path, content in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(content)
        (info / "RECORD").write_text("".join(f'"{path}",,\n' for path in files))
        prune(tmp_path, distributions(tmp_path), read_rules())
        return {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()} & set(files)

    prune_of.site = site
    return prune_of


TESTS = {"pack/tests/__init__.py": "", "pack/tests/test_a.py": "", "pack/tests/data/x.json": "{}"}


def test_tests_go_with_their_data(installed):
    assert installed({"pack/__init__.py": "", **TESTS}) == {"pack/__init__.py"}
    assert not (installed.site / "pack" / "tests").exists()


@pytest.mark.parametrize(
    "code",
    [
        "from .tests.test_a import x\n",
        "from pack.tests import test_a\n",
        "import pack.tests.test_a as y\n",
        "def later():\n    from . import tests\n",
        "from . import (\n    other,\n    tests,\n)\n",
    ],
)
def test_tests_that_other_code_imports_stay(installed, code):
    files = {"pack/__init__.py": code, "pack/other.py": "", **TESTS}
    assert installed(files) == set(files)


def test_tests_that_only_tests_import_go(installed):
    more = {"pack/sub/__init__.py": "", "pack/sub/tests/test_b.py": "from pack.tests import test_a\n"}
    assert installed({"pack/__init__.py": "", **TESTS, **more}) == {"pack/__init__.py", "pack/sub/__init__.py"}


def test_a_folder_of_that_name_without_a_test_stays(installed):
    files = {"pack/__init__.py": "", "pack/test/__init__.py": "class Client: ...\n", "pack/test/client.py": ""}
    assert installed(files) == set(files)


def test_a_package_of_that_name_stays(installed):
    files = {"tests/__init__.py": "", "tests/test_a.py": ""}
    assert installed(files) == set(files)


def test_what_is_no_python_that_can_be_parsed_harms_nothing(installed):
    files = {"pack/__init__.py": "", "pack/template.py": "from {{ x }} import tests\n", **TESTS}
    assert installed(files) == {"pack/__init__.py", "pack/template.py"}


def test_files_outside_of_the_environment_are_left_alone(installed, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.a"
    outside.write_text("x")
    installed({"pack/__init__.py": "", f"../../../../{outside.name}": "x"})
    assert outside.is_file()


@pytest.mark.network
def test_real_packages_work_after_it(tmp_path):
    """Libraries that read their own tests or data would show here."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    words = ["install", "--quiet", "--python", python, "scikit-learn", "pandas", "statsmodels", "networkx", "astropy"]
    subprocess.run([Path(sys.executable).with_name("uv"), "pip", *words], check=True)
    lost = prune(tmp_path, distributions(tmp_path), read_rules())
    assert lost["pandas"] > 5_000_000
    code = """
import astropy.table, astropy.units, networkx, numpy, pandas, statsmodels.api
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
X, y = load_iris(return_X_y=True, as_frame=True)
print(RandomForestClassifier(n_estimators=3).fit(X, y).score(X, y) > 0.9, astropy.table.Table({"a": [1]})["a"][0])
"""
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout == "True 1\n", said.stderr
