"""Services against their own OpenAPI documents: Schemathesis asks what they allow and what they do not.

The models take whatever their signatures do, so a 500 is a fault of the service. Good data must be answered with 200
and an answer of the schema, bad data refused with a problem document. Left out is what JSON Schema has no words for, so
that the codec decides: 3.0 is an integer there and none here, and no format says a moment without an offset.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import make_envelope
from serving_process import started
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s

NUMBER, WHOLE, TEXT = s.Scalar("float64"), s.Scalar("int64"), s.Scalar("string")
TREE = s.Reference("Tree")
TABLE = s.Table(
    (
        s.Column("amount", s.Scalar("float64", nullable=True), "float64"),
        s.Column("count", WHOLE, "int64"),
        s.Column("kind", TEXT, TEXT_STORAGE),
        s.Column("place", s.Choice(("EWR", "JFK")), "category"),
        s.Column("when", s.Scalar("datetime", unit="us", timezone="UTC"), "datetime64[us, UTC]"),
        s.Column("sure", s.Scalar("bool"), "bool"),
    )
)
COMPOUND = s.Record(
    (
        s.Field("name", TEXT),
        s.Field("tags", s.List(s.Choice(("a", "b")))),
        s.Field("pair", s.Tuple((WHOLE, s.Scalar("bool")))),
        s.Field("day", s.Scalar("date", nullable=True), required=False, default=None),
        s.Field("counts", s.Map(TEXT, s.Scalar("uint8")), required=False, default={}),
    )
)


def method(returns, *parameters):
    return s.Method(tuple(parameters), returns)


def optional(name, kind, default):
    return s.Parameter(name, kind, required=False, default=default)


ENVELOPES = {
    "tables": {
        "rows": method(WHOLE, s.Parameter("X", TABLE)),
        "table": method(TABLE, s.Parameter("X", TABLE), optional("scale", NUMBER, 1.0)),
        "column": method(s.Series(NUMBER, "float64"), s.Parameter("x", s.Series(NUMBER, "float64"))),
    },
    "values": {
        "scalars": method(
            TEXT, s.Parameter("x", NUMBER), optional("k", s.Scalar("int8"), 3), optional("name", TEXT, "nobody")
        ),
        "moments": method(
            s.Scalar("datetime", timezone="UTC"),
            s.Parameter("when", s.Scalar("datetime", timezone="UTC")),
            s.Parameter("day", s.Scalar("date", nullable=True)),
            optional("key", s.Scalar("uuid"), "12345678-1234-5678-1234-567812345678"),
        ),
        # Schemathesis cannot check answers with a tuple: it rewrites `prefixItems` to what 2020-12 does not know.
        "compound": method(TEXT, s.Parameter("it", COMPOUND)),
        "nothing": method(s.Scalar("null")),
    },
    "unions": {
        "plain": method(
            s.Union((WHOLE, TEXT, s.List(NUMBER))), s.Parameter("x", s.Union((WHOLE, TEXT, s.List(NUMBER))))
        ),
        "nullable": method(WHOLE, s.Parameter("x", s.Union((WHOLE, TEXT), nullable=True))),
        "tagged": method(
            WHOLE, s.Parameter("x", s.Union((s.Scalar("date"), s.Scalar("bytes")), tags=("date", "bytes")))
        ),
    },
    "recursive": {
        "depth": method(WHOLE, s.Parameter("tree", TREE)),
        "same": method(TREE, s.Parameter("tree", TREE)),
    },
    "tensors": {
        "total": method(NUMBER, s.Parameter("x", s.Tensor("float64", (None, 3), batch=0))),
        "whole": method(s.Tensor("int64", (None,), batch=0), s.Parameter("x", s.Tensor("int64", (None,), batch=0))),
        "image": method(NUMBER, s.Parameter("x", s.Tensor("uint8", (2, 2)))),
    },
}
DEFINITIONS = {
    "Tree": s.Record((s.Field("value", NUMBER), s.Field("children", s.List(TREE), required=False, default=[])))
}
MODEL = """
class Model:
    def rows(self, X): return len(X)
    def table(self, X, scale=1.0): return X
    def column(self, x): return x
    def scalars(self, x, k=3, name="nobody"): return name
    def moments(self, when, day, key=None): return when
    def compound(self, it): return ""
    def nothing(self): return None
    def plain(self, x): return x
    def nullable(self, x): return 1
    def tagged(self, x): return 1
    def depth(self, tree): return 1
    def same(self, tree): return tree
    def total(self, x): return 1.0
    def whole(self, x): return x
    def image(self, x): return 1.0
"""

HOOKS = """
import schemathesis

def whole(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value

@schemathesis.hook
def map_case(context, case):
    case.body = whole(case.body)
    return case
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("schemathesis"), reason="Schemathesis needs newer versions than these")
@pytest.mark.parametrize("name", ENVELOPES)
def test_it_finds_nothing(tmp_path, name):
    definitions = DEFINITIONS if name == "recursive" else {}
    folder = make_envelope(tmp_path, MODEL, ENVELOPES[name], {}, definitions=definitions, name=name)
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "schemathesis.toml").write_text('hooks = "hooks"\n')
    with started(folder, "--log-level", "warning") as process:
        url = json.loads(process.stdout.readline())["url"]
        command = [Path(sys.executable).with_name("st"), "run", f"{url}/openapi.json", "--checks", "all"]
        command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "60", "--generation-deterministic"]
        command += ["--continue-on-failure", "--no-color", "--suppress-health-check", "all"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
