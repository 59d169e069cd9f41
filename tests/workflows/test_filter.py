"""The user's own rules on the whole road: what is packed, locked, proven and noted down."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from models import dump, run, shop, write_module

import model_envelope as me
from model_envelope.dependencies.needs import Dropped
from model_envelope.foundation.errors import InvalidInput, Unsolvable
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.progress import Note
from model_envelope.runtime.errors import ModelFailed
from model_envelope.workflows.dependencies import dependencies
from model_envelope.workflows.filtering import filter_lock
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Asked, Label, SampleFile, pack


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """The folder of a pickled model of scikit-learn and its samples."""
    folder = tmp_path_factory.mktemp("fitted")
    run(
        folder,
        """
        import pickle, numpy
        from sklearn.linear_model import LinearRegression
        X = numpy.arange(8.0).reshape(4, 2)
        pickle.dump(LinearRegression().fit(X, X.sum(axis=1)), open("model.pkl", "wb"))
        pickle.dump(X, open("x.pkl", "wb"))
        """,
    )
    return folder


@pytest.fixture
def linear(fitted, tmp_path):
    """The pickle of a model of scikit-learn, with its samples beside it."""
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    return tmp_path / "model.pkl"


def packed(model, into, **options):
    samples = SampleFile(options.pop("samples", model.with_name("x.pkl")), "the samples")
    return pack(model, samples=samples, into=into, **{"lock": False, "label": Label("small"), **options})


def reasons(envelope):
    return {item.name: item.reason for item in dependencies(envelope).left_out}


def requirements(envelope):
    return (envelope / "env" / "requirements.in").read_text().split("\n")[:-1]


def locked(envelope):
    lines = (envelope / "env" / "requirements.lock").read_text().split("\n")
    return {line.partition("==")[0] for line in lines if "==" in line}


@pytest.mark.slow
def test_options_of_the_command(linear, tmp_path, envelope):
    words = [
        "--keep",
        "scipy",
        "--drop",
        "threadpoolctl",
        "--replace",
        "numpy=numpy-other==1.2",
        "--drop",
        "thredpoolctl",
    ]
    done = envelope("pack", linear, "--input", linear.with_name("x.pkl"), "--no-lock", "-o", tmp_path / "out", *words)
    path = Path(done.stdout.strip())
    assert "`--drop thredpoolctl`: no thredpoolctl is installed; did you mean `threadpoolctl`?" in done.stderr
    assert [line.partition("==")[0] for line in requirements(path)] == ["numpy-other", "scikit-learn", "scipy"]
    assert "numpy-other==1.2" in requirements(path)
    told = envelope("dependencies", path).stdout
    assert "asked for: --keep" in told
    assert "asked for: --drop, though scikit-learn requires it\n    threadpoolctl" in told
    assert "replaced by numpy-other: asked for: --replace\n    numpy" in told


def test_a_pair_without_a_new_name_is_a_wrong_use(linear, envelope):
    done = envelope("pack", linear, "--input", "x.pkl", "--replace", "numpy", "--replace", "a==1", code=2)
    assert "error[usage.pair]: found `numpy`, `a==1`, expected OLD=NEW" in done.stderr


@pytest.mark.slow
def test_the_file_of_the_project_counts_and_the_command_wins(linear, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.envelope]\nkeep = ['scipy']\ndrop = ['threadpoolctl', 'joblib']\n")
    result = packed(linear, tmp_path / "out", asked=Asked(keep=("joblib",)))
    kept = {item.name: item.reasons for item in result.kept}
    assert kept["joblib"] == ("asked for: --keep",)
    assert kept["scipy"] == ("asked for: keep in pyproject.toml",)
    told = reasons(result.path)
    assert told["threadpoolctl"] == "asked for: drop in pyproject.toml, though scikit-learn requires it"
    assert "joblib" not in told


def test_what_makes_no_sense_is_told_before_anything_runs(linear, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.envelope]\ndorp = ['scipy']\n")
    said = []
    with pytest.raises(InvalidInput) as caught:
        packed(linear, tmp_path / "out", report=said.append)
    assert caught.value.code == "settings.unknown-key"
    assert said == []


def test_what_the_pickle_names_is_not_dropped(linear, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        packed(linear, tmp_path / "out", asked=Asked(drop=("scikit-learn",)))
    assert caught.value.code == "rules.needed"
    assert "pickle: sklearn.linear_model._base.LinearRegression" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_arguments_of_save_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = me.save_model(
        model=len,
        instance_name="length",
        query_function="__call__",
        api_input={"obj": [1, 2]},
        keep="numpy",
        drop=["scipy"],
        replace={"pandas": "polars"},
        lock=False,
        prove=False,
        into=tmp_path / "out",
    )
    assert [line.partition("==")[0] for line in requirements(saved.path)] == ["numpy"]
    assert reasons(saved.path)["scipy"] == "asked for: drop"


def test_a_script_s_own_project_counts(tmp_path):
    (tmp_path / "project" / "jobs").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("[tool.envelope]\nkeep = ['numpy']\n")
    write_module(
        tmp_path / "project" / "jobs",
        "etl",
        """
        import sys
        import model_envelope as me

        saved = me.save_model(
            model=len, instance_name="length", query_function="__call__", api_input={"obj": [1, 2]},
            lock=False, prove=False, into=sys.argv[1],
        )
        print(saved.path)
        """,
    )
    script = tmp_path / "project" / "jobs" / "etl.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path / "out"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [line.partition("==")[0] for line in requirements(Path(done.stdout.strip()))] == ["numpy"]


@pytest.mark.slow
def test_sizes_and_who_requires_whom_are_noted(linear, tmp_path):
    result = dependencies(packed(linear, tmp_path / "out").path)
    found = {item.name: item for item in result.packages}
    assert found["scikit-learn"].direct
    assert found["threadpoolctl"].chain == ("scikit-learn", "threadpoolctl")
    assert found["numpy"].size > found["threadpoolctl"].size > 10_000
    assert result.unknown == ()
    assert "pytest" not in found


def test_credentials_never_enter_an_envelope(tmp_path, monkeypatch, envelope):
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    site = next((environment / "lib").glob("python*")) / "site-packages"
    write_module(site, "ours", "def base(item):\n    return float(len(item))\n")
    info = site / "ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ours\nVersion: 1.0\nRequires-Dist: more @ https://me:hunter22@git.example/more.whl\n"
    )
    (info / "RECORD").write_text("ours.py,,52\nours-1.0.dist-info/METADATA,,\n")
    address = {"url": "https://me:hunter22@git.example/ours", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    (info / "direct_url.json").write_text(json.dumps(address))
    model = shop(tmp_path / "src")
    write_module(tmp_path / "src", "prices", "from ours import base\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:hunter22@index.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://hunter22@index.example/more")
    asked = Asked(drop=("more",))
    python = str(environment / "bin" / "python")
    result = packed(model, tmp_path / "out", samples=model.with_name("samples.json"), asked=asked, python=python)
    assert requirements(result.path) == ["ours==1.0"]
    sealed = b"".join(path.read_bytes() for path in result.path.rglob("*") if path.is_file())
    assert b"hunter22" not in sealed
    done = envelope("dependencies", result.path, "--all")
    assert "ours 1.0" in done.stdout
    assert "hunter22" not in done.stdout + done.stderr


def test_what_a_lock_would_bring_though_it_is_not_installed_here_is_told_too():
    said = []
    pins = (Pin("boost", "3.0", ("sha256:" + "0" * 64,)), Pin("nccl", "2.21", ("sha256:" + "1" * 64,)))
    left_out = {"nccl": "asked for: --drop", "elsewhere": "asked for: --drop"}
    filtered, gone = filter_lock(Lock(pins), left_out, said.append)
    assert filtered == Lock(pins[:1])
    assert gone == (Dropped("nccl", "2.21", "asked for: --drop"),)
    assert said == [Note("left out of the lock, though required: nccl")]


@pytest.mark.network
def test_what_is_left_out_is_not_locked_though_it_is_required(linear, tmp_path):
    said = []
    options = {"lock": True, "prove": False, "asked": Asked(drop=("threadpoolctl",))}
    result = packed(linear, tmp_path / "out", report=said.append, **options)
    names = locked(result.path)
    assert {"scikit-learn", "joblib"} <= names
    assert "threadpoolctl" not in names
    assert Note("left out of the lock, though required: threadpoolctl") in said
    later = lock(packed(linear, tmp_path / "open", asked=options["asked"]).path, prove=False)
    assert later.digest == result.digest


@pytest.mark.network
def test_a_proof_that_fails_for_want_of_it_says_so(linear, tmp_path):
    with pytest.raises(ModelFailed) as caught:
        packed(linear, tmp_path / "out", lock=True, asked=Asked(drop=("threadpoolctl",)))
    assert caught.value.code == "model.missing-module"
    assert "`threadpoolctl` was left out (asked for: --drop, though scikit-learn requires it)" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_what_a_rule_drops_is_kept_where_the_model_fails_without_it(tmp_path):
    write_module(
        tmp_path,
        "guess",
        """
        class Guess:
            def predict(self, x: int) -> int:
                import hypothesis

                return x + len(hypothesis.__name__)
        """,
    )
    dump(tmp_path, "guess.Guess()", "model.pkl")
    (tmp_path / "x.json").write_text('{"x": 1}')
    result = packed(tmp_path / "model.pkl", tmp_path / "out", samples=tmp_path / "x.json")
    (kept,) = result.kept
    assert kept.name == "hypothesis"
    assert any("without it: ModuleNotFoundError" in reason for reason in kept.reasons)


@pytest.mark.network
def test_what_a_rule_dropped_comes_back_where_the_proof_fails_for_want_of_it(tmp_path):
    # Where it is packed, nothing asks for it: the model looks around, and finds this project there.
    write_module(
        tmp_path,
        "guess",
        """
        import importlib.metadata

        class Guess:
            def predict(self, x: int) -> int:
                if not list(importlib.metadata.distributions(name="model-envelope")):
                    import hypothesis

                return x
        """,
    )
    dump(tmp_path, "guess.Guess()", "model.pkl")
    (tmp_path / "x.json").write_text('{"x": 1}')
    result = packed(tmp_path / "model.pkl", tmp_path / "out", samples=tmp_path / "x.json", lock=True)
    assert result.proven
    assert result.mended == ("hypothesis",)


@pytest.mark.network
def test_a_replacement_that_cannot_be_locked_says_how_to_go_back(linear, tmp_path):
    asked = Asked(replace=(("scikit-learn", "scikit-learn-no-such-variant"),))
    with pytest.raises(Unsolvable) as caught:
        packed(linear, tmp_path / "out", lock=True, asked=asked)
    assert "`scikit-learn-no-such-variant` stands in the place of `scikit-learn`" in caught.value.hint


@pytest.mark.network
def test_the_size_of_a_replacement_is_that_in_the_clean_room(tmp_path):
    write_module(tmp_path, "plain", "class Plain:\n    def predict(self, x: int) -> int:\n        return x + 1\n")
    dump(tmp_path, "plain.Plain()", "model.pkl")
    (tmp_path / "x.json").write_text('{"x": 1}')
    asked = Asked(keep=("rich",), replace=(("pygments", "aiofiles"),))
    result = packed(tmp_path / "model.pkl", tmp_path / "out", samples=tmp_path / "x.json", lock=True, asked=asked)
    found = {item.name: item for item in dependencies(result.path).packages}
    assert "pygments" not in found
    assert found["aiofiles"].size > 1000
    assert found["aiofiles"].reasons == ("instead of pygments, which comes with rich: asked for: --replace",)
    assert "aiofiles" in requirements(result.path)
