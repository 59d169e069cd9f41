"""What source code imports, and how badly."""

import pytest

from model_envelope.dependencies.source_imports import Import, read_parts


def read_imports(source):
    return {found for part in read_parts(source) for found in part.imports}


def imports_of(source):
    return {found.module for found in read_imports(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy", {"numpy"}),
        ("import numpy as np, pandas.core", {"numpy", "pandas.core"}),
        ("from sklearn import pipeline", {"sklearn", "sklearn.pipeline"}),
        ("from sklearn.pipeline import *", {"sklearn.pipeline"}),
        ("from . import helpers", {".helpers"}),
        ("from .. import *", {".."}),
        ("from ..shared.text import clean", {"..shared.text", "..shared.text.clean"}),
        ("def f():\n    import scipy", {"scipy"}),
        ("class A:\n    async def f(self):\n        from polars import col", {"polars", "polars.col"}),
        ("try:\n    import orjson\nexcept ImportError:\n    import json", {"orjson", "json"}),
        ("with x:\n    import a\nfor i in y:\n    import b\nelse:\n    import c", {"a", "b", "c"}),
        ("match x:\n    case 1:\n        import a", {"a"}),
        ("import importlib\nm = importlib.import_module('yaml')", {"importlib", "yaml"}),
        ("m = __import__('yaml')", {"yaml"}),
        ("m = import_module('.part', __package__)", {".part"}),
        ("m = import_module(name)", set()),
        ("x = {'f': lambda: __import__('late')}", {"late"}),
        ("'import not_this'", set()),
        ("# import not_this", set()),
        ("if TYPE_CHECKING:\n    import mypy\nelse:\n    import real", {"real"}),
        ("import typing\nif typing.TYPE_CHECKING:\n    import mypy", {"typing"}),
        ("if not TYPE_CHECKING:\n    import real", {"real"}),
        ("if False:\n    import never", set()),
        ("if __name__ == '__main__':\n    import matplotlib", set()),
        ("if sys.version_info > (3, 12):\n    import a\nelse:\n    import b", {"a", "b"}),
        ("", set()),
    ],
)
def test_imports(source, expected):
    assert imports_of(source) == expected


def test_tells_what_code_can_do_without():
    source = (
        "import must\n"
        "try:\n    import may\nexcept (ImportError, OSError):\n    import instead\nelse:\n    import then\n"
        "try:\n    import must_too\nexcept ValueError:\n    pass\n"
        "def f():\n    import later\n"
    )
    found = {item.module: item for item in read_imports(source)}
    assert found["must"] == Import("must")
    assert found["may"].guarded
    assert found["instead"].guarded
    assert not found["then"].guarded
    assert not found["must_too"].guarded
    assert found["later"].lazy


def test_source_of_another_python_is_read_line_by_line():
    source = "print 'two'\nimport numpy, scipy.stats as st\nfrom pandas import DataFrame\n  import late\n"
    assert imports_of(source) == {"numpy", "scipy.stats", "pandas", "late"}
    assert imports_of("import a\0") == {"a"}


def test_functions_and_classes_that_are_only_made_are_parts_of_their_own():
    source = (
        "import top\n"
        "def train(rows, seed=default()):\n    'with evaluate'\n    import optuna\n    return fit(rows)\n"
        "@register\ndef hook():\n    import hooked\n"
        "class Model(object):\n    import inside\n"
        "    def ask(self):\n        import asked\n        return helpers['score']\n"
        "class Child(Model):\n    def ask(self):\n        import child\n"
    )
    parts = {part.name: part for part in read_parts(source)}
    assert set(parts) == {"", "train", "Model"}
    assert {found.module for found in parts[""].imports} == {"top", "hooked", "inside", "child"}
    assert {found.module for found in parts["train"].imports} == {"optuna"}
    assert "asked" in {found.module for found in parts["Model"].imports}
    assert {"fit", "rows"} <= parts["train"].mentions
    assert "evaluate" not in parts["train"].mentions
    assert "default" in parts[""].mentions
    assert {"helpers", "score"} <= parts["Model"].mentions


@pytest.mark.parametrize(
    ("line", "dynamic"),
    [
        ("getattr(module, name)", True),
        ("getattr(module, 'name')", False),
        ("operator.attrgetter(name)", True),
        ("globals()[name]", True),
        ("module.__dict__[name]", True),
        ("eval(text)", True),
        ("model.evaluate(text)", False),
    ],
)
def test_code_that_makes_up_names_is_told(line, dynamic):
    assert read_parts(f"def f():\n    return {line}\n")[1].dynamic is dynamic
