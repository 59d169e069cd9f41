import inspect
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from models import shop, write_module

import model_envelope as me
from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.runtime.errors import AnswersDiffer, InvalidPayload
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.pack import pack

SAVE = """
    import sys
    import model_envelope as me
    import rates

    class Converter:
        def predict(self, amounts: list[float]) -> list[float]:
            return [amount * rates.RATE for amount in amounts]

        def inverse(self, amounts: list[float]) -> list[float]:
            return [amount / rates.RATE for amount in amounts]

    envelope = me.save_model(
        model=Converter(),
        instance_name="converter",
        instance_description="Converts amounts",
        query_function=["predict", "inverse"],
        api_input=[1.0, 2.0],
        api_output={"predict": [2.0, 4.0], "inverse": [0.5, 1.0]},
        tags={"stage": "canary"},
        metrics={"mae": 0.5},
        hyperparameters={"rate": rates.RATE},
        lock=False,
        prove=False,
        into=sys.argv[1],
    )
    print(envelope.path)
"""


@pytest.fixture
def saved(tmp_path):
    """An envelope saved by a script, as an ETL job does it."""
    write_module(tmp_path, "rates", "RATE = 2.0\n")
    write_module(tmp_path, "etl", SAVE)
    done = subprocess.run(
        [sys.executable, "etl.py", tmp_path / "out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return me.load_envelope(done.stdout.strip())


def test_a_model_of_the_script_itself_is_saved_with_its_modules(saved):
    assert saved.name == "converter"
    assert saved.description == "Converts amounts"
    assert list(saved.signature.methods) == ["predict", "inverse"]
    assert saved.hyperparameters == {"rate": 2.0}
    assert (saved.path / "code" / "rates.py").is_file()
    assert (saved.path / "env" / "requirements.in").read_text().startswith("cloudpickle==")


def test_its_methods_answer(saved, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    assert saved.predict([3.0]) == [6.0]
    assert saved.inverse([3.0]) == [1.5]
    assert saved.ask("predict", {"amounts": [1.0]}) == [2.0]
    with pytest.raises(InvalidPayload):
        saved.ask("predict", {"amounts": ["1"]})
    with pytest.raises(AttributeError, match="`predict`, `inverse`"):
        saved.forecast  # noqa: B018
    assert not list(saved.path.rglob("__pycache__"))


def test_tags_and_metrics_grow_and_nothing_else(saved):
    digest = saved.digest
    saved.add_tags({"stage": "production", "team": "fx"})
    saved.add_metrics({"mae": 0.4})
    assert saved.tags == {"stage": "production", "team": "fx"}
    assert saved.metrics == {"mae": 0.4}
    assert [entry.value for entry in saved.metric_history] == [0.5, 0.4]
    assert me.load_envelope(saved.path).digest == digest
    with pytest.raises(Refused, match="sealed") as caught:
        saved.description = "another"
    assert "add_tags" in caught.value.hint
    with pytest.raises(TypeError):
        saved.tags["stage"] = "x"


def test_a_changed_envelope_is_not_loaded(saved):
    code = saved.path / "code" / "rates.py"
    code.chmod(0o644)
    code.write_text("RATE = 3.0\n")
    with pytest.raises(Refused, match=r"code/rates\.py"):
        me.load_envelope(saved.path).predict([1.0])


def test_an_envelope_from_elsewhere_wants_trust(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(tmp_path / "another-user"))
    copied = shutil.copytree(saved.path, tmp_path / "copied")
    with pytest.raises(Refused, match="not sealed by you"):
        me.load_envelope(copied).predict([1.0])
    assert me.load_envelope(copied).tags == {"stage": "canary"}


def _save(**changes):
    arguments = {
        "model": len,
        "instance_name": "length",
        "api_input": [1, 2],
        "lock": False,
        "prove": False,
        **changes,
    }
    return me.save_model(**arguments)


def test_what_cannot_be_pickled_is_named(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        _save(model=(item for item in ()), into=tmp_path / "out")
    assert caught.value.code == "model.not-picklable"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"metrics": {"auc": float("nan")}}, "metric.not-a-number"),
        ({"tags": {"auc": 0.7}}, "tag.not-a-string"),
        ({"hyperparameters": {"f": len}}, "parameter.not-json"),
        ({"instance_name": "My Model"}, "name.invalid"),
    ],
)
def test_bad_facts_are_refused_before_anything_runs(tmp_path, changes, code):
    with pytest.raises(InvalidInput) as caught:
        _save(**changes, into=tmp_path / "out")
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_a_lock_for_another_machine_and_python(index, tmp_path):
    here = Platform.here()
    other = Platform("linux", "arm64" if here.machine == "amd64" else "amd64")
    version, tag = metadata.version("packaging"), f"py3-none-manylinux_2_17_{other.tag.rpartition('-')[2]}"
    value = index.add("packaging", version, tag=tag)
    options = {"lock": True, "prove": True, "query_function": "__call__", "api_input": {"obj": [1, 2]}}
    saved = _save(keep="packaging", platforms=str(other), python_version="3.12", into=tmp_path / "out", **options)
    files = read_envelope(saved.path)
    assert (files.description.platform, files.description.python) == (other.tag, "3.12")
    (pin,) = Lock.parse(files.lock.read_bytes()).pins
    assert (pin.name, pin.version, pin.hashes) == ("packaging", version, (value,))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"platforms": "solaris/sparc"}, "lock.platform"),
        ({"python_version": "3"}, "lock.python-version"),
        ({"lock": True, "resolver": "poetry"}, "lock.unknown-resolver"),
        ({"sample_rows": 0}, "samples.rows"),
    ],
)
def test_what_nothing_can_be_locked_or_sealed_with_is_refused_before_anything_runs(tmp_path, changes, code):
    with pytest.raises(InvalidInput) as caught:
        _save(**changes, into=tmp_path / "out")
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_how_many_samples_are_sealed(tmp_path):
    saved = _save(model=abs, query_function="__call__", api_input={"x": -1}, keep_samples=False, into=tmp_path)
    assert not (saved.path / "samples").exists()


def test_it_takes_whatever_pack_takes():
    theirs = {"samples": "api_input", "answers": "api_output", "methods": "query_function", "network": "allow_network"}
    theirs |= {"rows": "sample_rows", "asked": "keep", "label": "instance_name", "aim": "platforms"}
    theirs |= {"limits": "time_limit"}
    # These are known of a model that is in memory: its interpreter, its types, its folders.
    known = {"python", "columns", "project", "search"}
    wanted = {theirs.get(name, name) for name in inspect.signature(pack).parameters if name not in known}
    assert wanted <= inspect.signature(me.save_model).parameters.keys()


def test_answers_that_are_not_the_models_are_refused(tmp_path):
    with pytest.raises(AnswersDiffer):
        _save(query_function="__call__", api_input={"obj": [1, 2]}, api_output=3, into=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_pickle_of_the_command_line_and_the_object_give_equal_signatures(tmp_path, envelope):
    model = shop(tmp_path)
    done = envelope("pack", model, "--input", tmp_path / "samples.json", "--no-lock", "-o", tmp_path / "out")
    opened = me.load_envelope(done.stdout.strip())
    assert opened.signature.methods["predict"].returns.dtype == "float64"


def test_an_image_without_the_toolchain_says_so(tmp_path):
    from model_envelope.foundation import carrying

    home = carrying.copy(tmp_path / "image", ["runtime"])
    code = "import model_envelope as me\ntry:\n    me.save_model\nexcept ImportError as error:\n    print(error)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(home)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "needs the toolchain" in done.stdout
