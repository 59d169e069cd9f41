"""Local modules with names that mean something else to others: each in a process of its own, as a user has it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import make_envelope

from model_envelope.runtime import signature as s
from model_envelope.runtime.local_imports import plain_name

HOME = Path(__file__).parents[2] / "cli"
NUMBER = s.Scalar("float64")
METHODS = {"predict": s.Method((s.Parameter("x", NUMBER),), NUMBER)}
MODEL = """
class Model:
    def predict(self, x):
        {body}
"""


def write(folder, files=None, **modules):
    for name, source in {**(files or {}), **{f"{name}.py": source for name, source in modules.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)


def envelope(folder, body, files=None, **modules):
    """Write an envelope whose model has this body of `predict`, and these modules beside it."""
    path = make_envelope(folder, MODEL.format(body=body), METHODS, {}, name="local")
    write(path / "code", files, **modules)
    return path


def ask(code, cwd, *paths):
    """Run code that may `load` envelopes; gives what it prints as JSON."""
    start = (
        "import json, sys\nfrom pathlib import Path\nfrom model_envelope.runtime.predicting import Predictor\n"
        "def load(path):\n    methods = Predictor.open(Path(path)).methods\n"
        "    return lambda x: methods['predict'].answer({'x': x})\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOME), *map(str, paths)])}
    done = subprocess.run(
        [sys.executable, "-c", start + code], cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def libraries(tmp_path):
    """A folder of installed things: `library` imports `common`, at once and late."""
    folder = tmp_path / "site-packages"
    write(
        folder,
        common="def name():\n    return 'of the library'\n",
        library="import common\ndef names():\n    import common as late\n    return [common.name(), late.name()]\n",
    )
    (folder / "library-1.0.dist-info").mkdir()
    return folder


def test_a_local_module_shadows_nothing_for_libraries(tmp_path, libraries):
    path = envelope(
        tmp_path,
        "import helper, library; return helper.value(x) + library.names().count('of the library')",
        common="def value(x):\n    return 10 * x\n",
        helper="from common import value\n",
    )
    code = f"predict = load({str(path)!r})\nimport common, library\n"
    found = ask(f"{code}print(json.dumps([predict(1.0), common.name(), library.names()]))", tmp_path, libraries)
    assert found == [12.0, "of the library", ["of the library", "of the library"]]
    assert not list((path / "code").rglob("__pycache__"))


def test_a_class_of_such_a_module_is_what_the_pickle_and_the_signature_mean(tmp_path, libraries):
    record = s.Record((s.Field("over", NUMBER),), cls="common:Ratio", style="dataclass")
    methods = {"predict": s.Method((s.Parameter("x", record),), record)}
    path = make_envelope(tmp_path, MODEL.format(body="return x"), methods, {}, name="local")
    write(
        path / "code",
        common="""
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Ratio:
    over: float

class Model:
    def predict(self, x):
        assert type(x) is Ratio
        return Ratio(x.over * 2)
""",
    )
    (path / "model" / "model.pkl").write_bytes(b"ccommon\nModel\n)R.")
    found = ask(f"print(json.dumps(load({str(path)!r})({{'over': 2.0}})))", tmp_path, libraries)
    assert found == {"over": 4.0}


def test_a_local_module_may_have_a_name_of_the_standard_library(tmp_path):
    path = envelope(
        tmp_path, "import statistics; return statistics.boost(x)", statistics="def boost(x):\n    return x + 1\n"
    )
    code = f"predict = load({str(path)!r})\nimport statistics\n"
    assert ask(f"{code}print(json.dumps([predict(1.0), statistics.mean([1, 3])]))", tmp_path) == [2.0, 2]


BODY = "import features, deep.inner, bare.part; return features.RATE * deep.inner.value(x) + bare.part.MORE"


def versions(tmp_path, count):
    return [
        envelope(
            tmp_path / str(number),
            BODY,
            {
                "features.py": f"RATE = {number}.0\n",
                "deep/__init__.py": "from . import inner\n",
                "deep/inner.py": "def value(x):\n    from features import RATE\n    return x * RATE\n",
                "bare/part.py": "from bare.more import MORE\n",
                "bare/more.py": f"MORE = {number * 100}.0\n",
            },
        )
        for number in range(1, count + 1)
    ]


def test_envelopes_with_equal_module_names_answer_side_by_side_in_one_process(tmp_path):
    paths = versions(tmp_path, 3)
    write(tmp_path / "mine", {"features.py": "RATE = 99\n", "bare/more.py": "MORE = 99\n"})
    code = f"""
envelopes = [load(path) for path in {[str(path) for path in paths]}]
first = [predict(2.0) for predict in envelopes]
import features, bare.more
again = [predict(2.0) for predict in reversed(envelopes)]
print(json.dumps([first, again, features.RATE, bare.more.MORE, load({str(paths[1])!r})(2.0)]))
"""
    expected = [number * number * 2.0 + number * 100 for number in (1, 2, 3)]
    for own in ([], [tmp_path / "mine"]):
        mine = [99, 99] if own else [1.0, 100.0]
        assert ask(code, tmp_path, *own) == [expected, expected[::-1], *mine, expected[1]]


def test_the_module_that_the_process_has_is_used_where_its_code_is_equal(tmp_path):
    (path,) = versions(tmp_path, 1)
    code = f"import features\nfeatures.RATE = 5.0\nprint(json.dumps(load({str(path)!r})(2.0)))"
    assert ask(code, tmp_path, path / "code") == 5.0 * 2 * 5 + 100


def test_code_in_the_pickle_sees_local_modules_too(tmp_path, libraries):
    path = envelope(tmp_path, "return x", common="def value(x):\n    return 10 * x\n")
    dump = f"""
import sys, cloudpickle
sys.path.insert(0, {str(path / "code")!r})
import common
class Model:
    def predict(self, x):
        import common as late
        return common.value(x) + late.value(x)
with open({str(path / "model" / "model.pkl")!r}, "wb") as file:
    cloudpickle.dump(Model(), file)
"""
    subprocess.run([sys.executable, "-B", "-c", dump], check=True)
    assert ask(f"print(json.dumps(load({str(path)!r})(1.0)))", tmp_path, libraries) == 20.0


def test_names_are_told_as_their_authors_know_them():
    assert plain_name("_envelope_local.common.Ratio") == "common.Ratio"
    assert plain_name("_envelope_local_12.common") == "common"
    assert plain_name("common") == "common"


def test_a_copy_that_a_module_forked_off_ends_where_the_model_is_loaded(tmp_path):
    write(tmp_path, forks="import os\nos.fork()\nclass Model:\n    pass\n")
    (tmp_path / "m.pkl").write_bytes(b"cforks\nModel\n)R.")
    code = f"""
import os
from model_envelope.runtime.loading import load_pickle
sys.path.insert(0, {str(tmp_path)!r})
load_pickle(Path({str(tmp_path / "m.pkl")!r}))
os.write(2, b"loaded ")
"""
    environ = {**os.environ, "PYTHONPATH": str(HOME)}
    start = "import sys\nfrom pathlib import Path\n"
    done = subprocess.run([sys.executable, "-c", start + code], env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == "loaded "
