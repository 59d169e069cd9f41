import collections
import os
import pickle

import pytest

from model_envelope.inspection.suspicions import suspicions


@pytest.fixture
def model(tmp_path):
    """Pickle an object to a file."""

    def write(value, protocol=4):
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps(value, protocol))
        return path

    return write


@pytest.fixture
def pipeline(model):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return model(make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1]))


def test_text(cli, pipeline):
    from importlib.metadata import version

    ran = cli("inspect", pipeline)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "model.pkl  sklearn.pipeline.Pipeline"
    assert lines[1].startswith("pickle protocol 4, ")
    assert lines[1].endswith(" opcodes, scikit-learn")
    assert f"scikit-learn {version('scikit-learn')}" in lines
    assert "├── sklearn.linear_model._logistic.LogisticRegression" in lines
    assert f"numpy {version('numpy')}" in lines


def test_json(cli, pipeline):
    result = cli("inspect", pipeline, "--json").result
    assert result.keys() == {
        "path", "size", "protocol", "opcodes", "root", "framework", "distributions", "standard_library", "unknown",
        "main", "by_value", "hidden", "suspicious",
    }  # fmt: skip
    assert [owned.keys() for owned in result["distributions"]] == [{"name", "version", "globals"}] * 2
    assert (result["protocol"], result["framework"], result["by_value"]) == (4, "scikit-learn", False)
    assert result["suspicious"] == result["unknown"] == []


def test_local_code_and_the_standard_library(cli, sealed):
    result = cli("inspect", sealed / "model" / "model.pkl", "--json").result
    assert result["unknown"] == ["doubling.Doubler"]
    ran = cli("inspect", sealed / "model" / "model.pkl")
    assert "owned by no package here (local code, or a package that is missing)" in ran.out


def test_the_standard_library(cli, model):
    result = cli("inspect", model(collections.OrderedDict(a=1)), "--json").result
    assert result["standard_library"] == ["collections.OrderedDict"]


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_harm_is_named_and_not_done(cli, model, tmp_path):
    marker = tmp_path / "marker"
    ran = cli("inspect", model(Harm(marker)))
    assert ran.code == 0
    assert "warning: `posix.system` asks the operating system, which no model needs" in ran.err
    assert not marker.exists()
    result = cli("inspect", model(Harm(marker)), "--json").result
    assert result["suspicious"] == [{"name": "posix.system", "reason": "asks the operating system"}]


def test_code_by_value_and_names_of_the_script(cli, tmp_path):
    import cloudpickle

    path = tmp_path / "model.pkl"
    namespace = {"__name__": "__main__"}
    exec("def predict(x):\n    return x + 1\n", namespace)
    path.write_bytes(cloudpickle.dumps(namespace["predict"]))
    ran = cli("inspect", path)
    assert "Holds code by value" in ran.out


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "pickle.empty"),
        (b"hello there", "pickle.not-a-pickle"),
        (pickle.dumps(list(range(1000)))[:-100], "pickle.truncated"),
        (None, "pickle.missing"),
    ],
)
def test_what_is_no_pickle(cli, tmp_path, content, code):
    path = tmp_path / "model.pkl"
    if content is not None:
        path.write_bytes(content)
    ran = cli("inspect", path, "--json")
    assert ran.code == 1
    assert ran.error["code"] == code
    assert ran.error["hint"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("nt", "popen"),
        ("builtins", "eval"),
        ("__builtin__", "execfile"),
        ("subprocess", "Popen"),
        ("urllib.request", "urlopen"),
        ("importlib", "import_module"),
        ("logging", "os.system"),
        ("socket", ""),
    ],
)
def test_suspicious_names(module, name):
    assert len(suspicions([(module, name)])) == 1


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "getattr"),
        ("os", "fspath"),
        ("sklearn.pipeline", "Pipeline"),
        ("functools", "partial"),
        ("codecs", "lookup"),
        ("shutils", "copy"),
        ("numpy.core.multiarray", "_reconstruct"),
    ],
)
def test_names_that_models_have(module, name):
    assert suspicions([(module, name)]) == ()
