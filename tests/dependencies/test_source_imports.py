"""What source code imports, and how badly."""

import pytest

from model_envelope.dependencies.source_imports import Import, imports_of, read_imports


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
