"""A signature as others write it: what each form says, and what it says that it cannot."""

import json

import jsonschema
import pytest
from handmade import make_envelope
from openapi_spec_validator import validate

from model_envelope.runtime import signature as s
from model_envelope.runtime.forms import write
from model_envelope.runtime.json_schema import DIALECT
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.signature_document import TYPES

INT, FLOAT, TEXT = s.Scalar("int64"), s.Scalar("float64"), s.Scalar("string")
FLIGHTS = s.Table(
    (
        s.Column("origin", s.Choice(("EWR", "JFK"), ordered=True), "category"),
        s.Column("delay", s.Scalar("int64", nullable=True), "Int64"),
        s.Column("at", s.Scalar("datetime", unit="ns", timezone="UTC"), "datetime64[ns, UTC]"),
        s.Column("tags", s.List(TEXT), "object"),
    )
)
METHODS = {
    "predict": s.Method(
        (s.Parameter("flights", FLIGHTS), s.Parameter("limit", FLOAT, s.Kind.KEYWORD, required=False, default=0.5)),
        s.Tensor("float64", (None, 2), batch=0),
    ),
    "explain": s.Method((s.Parameter("node", s.Reference("Node")),), s.Map(TEXT, FLOAT)),
}
NODE = s.Record((s.Field("value", INT), s.Field("inner", s.List(s.Reference("Node")), required=False, default=[])))


def written(tmp_path, form, methods=METHODS, method=None, definitions=None):
    envelope = make_envelope(tmp_path, methods=methods, samples={}, definitions=definitions or {"Node": NODE})
    return write(read_envelope(envelope), form, method)


def of(tmp_path, form, *kinds, returns=FLOAT):
    parameters = tuple(s.Parameter(f"p{at}", kind) for at, kind in enumerate(kinds))
    return written(tmp_path, form, {"predict": s.Method(parameters, returns)})


def test_json_schema_of_all_methods(tmp_path):
    document = written(tmp_path, "json-schema").document
    assert (document["$schema"], document["title"]) == (DIALECT, "scorer")
    assert set(document["$defs"]) == {"predict.request", "predict.answer", "explain.request", "explain.answer", "Node"}
    jsonschema.Draft202012Validator.check_schema(document)


def test_json_schema_of_one_method_validates_its_requests(tmp_path):
    validator = jsonschema.Draft202012Validator(written(tmp_path, "json-schema", method="explain").document)
    assert validator.is_valid({"node": {"value": 1, "inner": [{"value": 2}]}})
    assert not validator.is_valid({"node": {"value": "1"}})
    assert not validator.is_valid({"node": {"value": 1, "inner": [{"value": None}]}})


def test_openapi_of_the_service_and_of_one_method(tmp_path):
    document = written(tmp_path, "openapi").document
    validate(document)
    assert {"/predict", "/explain", "/livez"} <= document["paths"].keys()
    one = written(tmp_path / "one", "openapi", method="explain").document
    validate(one)
    assert list(one["paths"]) == ["/explain"]


def test_arrow_has_the_columns_as_fields(tmp_path):
    found = written(tmp_path, "arrow", method="predict")
    origin, delay, at, tags = found.document["methods"]["predict"]["input"]["fields"]
    index = {"name": "int", "bitWidth": 32, "isSigned": True}
    assert origin == {
        "name": "origin", "nullable": False, "type": {"name": "utf8"}, "children": [],
        "dictionary": {"id": 0, "indexType": index, "isOrdered": True},
    }  # fmt: skip
    assert (delay["nullable"], delay["type"]) == (True, {"name": "int", "bitWidth": 64, "isSigned": True})
    assert at["type"] == {"name": "timestamp", "unit": "NANOSECOND", "timezone": "UTC"}
    assert tags["type"] == {"name": "list"}
    assert tags["children"] == [{"name": "item", "nullable": False, "type": {"name": "utf8"}, "children": []}]
    (answer,) = found.document["methods"]["predict"]["output"]["fields"]
    assert answer["type"] == {"name": "fixedsizelist", "listSize": 2}
    assert answer["children"][0]["type"] == {"name": "floatingpoint", "precision": "DOUBLE"}
    assert found.lost == (
        "a record batch has no place for parameters beside its columns: `predict.limit`",
        "the values of a choice are data, and no part of a schema: `predict.origin`",
    )


@pytest.mark.parametrize(
    ("kind", "type_", "children"),
    [
        (s.Scalar("bool"), {"name": "bool"}, []),
        (s.Scalar("uint8"), {"name": "int", "bitWidth": 8, "isSigned": False}, []),
        (s.Scalar("float16"), {"name": "floatingpoint", "precision": "HALF"}, []),
        (s.Scalar("date"), {"name": "date", "unit": "DAY"}, []),
        (s.Scalar("datetime"), {"name": "timestamp", "unit": "MICROSECOND"}, []),
        (s.Scalar("timedelta", unit="ns"), {"name": "duration", "unit": "NANOSECOND"}, []),
        (s.Scalar("decimal"), {"name": "utf8"}, []),
        (s.Scalar("complex128"), {"name": "fixedsizelist", "listSize": 2}, ["item"]),
        (s.Choice((1, 2)), {"name": "int", "bitWidth": 64, "isSigned": True}, []),
        (s.Choice((1, 2.5)), {"name": "floatingpoint", "precision": "DOUBLE"}, []),
        (s.Choice((True,)), {"name": "bool"}, []),
        (s.Choice(("2020-01-31",), dtype="date"), {"name": "date", "unit": "DAY"}, []),
        (s.Set(INT), {"name": "list"}, ["item"]),
        (s.Tuple((INT, TEXT)), {"name": "struct"}, ["0", "1"]),
        (s.Record((s.Field("a", INT),)), {"name": "struct"}, ["a"]),
        (s.Map(TEXT, INT), {"name": "map", "keysSorted": False}, ["entries"]),
        (s.Union((INT, TEXT), tags=("i", "t")), {"name": "union", "mode": "DENSE", "typeIds": [0, 1]}, ["i", "t"]),
        (s.Any(), {"name": "utf8"}, []),
    ],
)
def test_arrow_types(tmp_path, kind, type_, children):
    found = of(tmp_path, "arrow", kind, TEXT).document["methods"]["predict"]["input"]["fields"][0]
    assert (found["name"], found["type"]) == ("p0", type_)
    assert [child["name"] for child in found["children"]] == children


def test_arrow_says_what_it_loses(tmp_path):
    optional = s.Record((s.Field("a", s.Scalar("int64", nullable=True), required=False),))
    anywhen = s.Scalar("datetime", timezone="")
    lost = of(tmp_path, "arrow", s.Set(INT), optional, anywhen, s.Scalar("period", unit="M"), s.Reference("Node")).lost
    assert lost == (
        "a list may hold an item twice: `predict.p0`",
        "null and missing are one: `predict.p1.a`",
        "a moment keeps no offset of its own: `predict.p2`",
        "a period is written as text: `predict.p3`",
        "free or recursive values are written as JSON text: `predict.p4.inner.item`",
    )


def test_arrow_of_further_batches_and_parameters(tmp_path):
    rest = s.Parameter("rest", INT, s.Kind.VARIADIC, required=False)
    more = s.Parameter("more", INT, s.Kind.VARIADIC_KEYWORD, required=False)
    k = s.Parameter("k", INT, required=False, default=3)
    two = (s.Parameter("x", s.Tensor("int64", ())), s.Parameter("y", FLIGHTS), k, rest, more)
    found = written(tmp_path, "arrow", {"predict": s.Method(two, s.Series(INT, "int64", name="score"))})
    fields = {field["name"]: field for field in found.document["methods"]["predict"]["input"]["fields"]}
    assert list(fields) == ["x", "y", "k", "rest", "more"]
    assert fields["x"]["type"] == {"name": "int", "bitWidth": 64, "isSigned": True}
    assert [child["name"] for child in fields["y"]["children"][0]["children"]] == ["origin", "delay", "at", "tags"]
    assert fields["k"]["nullable"]
    assert found.document["methods"]["predict"]["output"]["fields"][0]["name"] == "score"
    assert "a field has no default: `predict.k`" in found.lost


def test_open_inference_has_a_tensor_a_column(tmp_path):
    found = written(tmp_path, "open-inference", method="predict")
    digest = found.document.pop("versions")
    assert len(digest[0]) == 12
    text = {"parameters": {"content_type": "str"}}
    assert found.document == {
        "name": "scorer",
        "platform": "python",
        "inputs": [
            {"name": "origin", "datatype": "BYTES", "shape": [-1], **text},
            {"name": "delay", "datatype": "INT64", "shape": [-1]},
            {"name": "at", "datatype": "BYTES", "shape": [-1], "parameters": {"content_type": "datetime"}},
            {"name": "tags", "datatype": "BYTES", "shape": [-1, -1], **text},
            {"name": "limit", "datatype": "FP64", "shape": [1]},
        ],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1, 2]}],
    }
    assert found.lost == (
        "has one method; these are left out, and `--method` writes them: `explain`",
        "a datatype does not say which values there are: `origin`",
        "null has no place in a datatype: `delay`",
        "BYTES hold what is no number, as the text that JSON has for it: `at`",
        "every input is required, and none has a default: `limit`",
    )


def test_open_inference_of_other_types(tmp_path):
    kinds = (
        s.Choice((1, 2)),
        s.Series(INT, "int64"),
        s.Record(()),
        s.Scalar("bytes"),
        s.Tensor("bool", ()),
        FLIGHTS,
        FLIGHTS,
    )
    inputs = of(tmp_path, "open-inference", *kinds).document["inputs"]
    assert [(item["name"], item["datatype"], item["shape"]) for item in inputs[:5]] == [
        ("p0", "INT64", [1]),
        ("p1", "INT64", [-1]),
        ("p2", "BYTES", [1]),
        ("p3", "BYTES", [1]),
        ("p4", "BOOL", [1]),
    ]
    assert inputs[3]["parameters"] == {"content_type": "base64"}
    assert [item["name"] for item in inputs[5:]][::4] == ["p5.origin", "p6.origin"]


def test_open_inference_of_variadic_parameters(tmp_path):
    rest = s.Parameter("rest", INT, s.Kind.VARIADIC, required=False)
    more = s.Parameter("more", INT, s.Kind.VARIADIC_KEYWORD, required=False)
    inputs = written(tmp_path, "open-inference", {"predict": s.Method((rest, more), FLOAT)}).document["inputs"]
    assert [(item["name"], item["datatype"], item["shape"]) for item in inputs] == [
        ("rest", "INT64", [-1]),
        ("more", "BYTES", [1]),
    ]


def test_mlflow_has_columns_and_params(tmp_path):
    found = written(tmp_path, "mlflow", method="predict")
    assert json.loads(found.document["inputs"]) == [
        {"type": "string", "name": "origin", "required": True},
        {"type": "long", "name": "delay", "required": False},
        {"type": "datetime", "name": "at", "required": True},
        {"type": "array", "items": {"type": "string"}, "name": "tags", "required": True},
    ]
    assert json.loads(found.document["outputs"]) == [
        {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
    ]
    assert json.loads(found.document["params"]) == [{"name": "limit", "default": 0.5, "shape": None, "type": "double"}]
    assert "which values a choice has: `origin`" in found.lost
    assert "a time zone: `at`" in found.lost


def test_mlflow_of_nested_types(tmp_path):
    record = s.Record((s.Field("a", INT), s.Field("b", s.Scalar("decimal"), required=False)))
    found = of(tmp_path, "mlflow", record, s.Map(TEXT, FLOAT), s.Set(INT), s.Tensor("int64", (None,)), s.Any(), FLIGHTS,
               returns=s.Series(s.Scalar("uint8"), "uint8"))  # fmt: skip
    inputs = json.loads(found.document["inputs"])
    properties = {"a": {"type": "long", "required": True}, "b": {"type": "string", "required": False}}
    assert [{k: v for k, v in item.items() if k not in {"name", "required"}} for item in inputs[:5]] == [
        {"type": "object", "properties": properties},
        {"type": "map", "values": {"type": "double"}},
        {"type": "array", "items": {"type": "long"}},
        {"type": "array", "items": {"type": "long"}},
        {"type": "any"},
    ]
    assert inputs[5]["items"]["type"] == "object"
    assert json.loads(found.document["outputs"]) == [{"type": "integer", "required": True}]
    assert found.document["params"] is None
    assert {line.partition(":")[0] for line in found.lost} >= {
        "decimal becomes string", "uint8 becomes integer", "any types",
        "that the items of a set are distinct", "the shape of an array beside other columns",
    }  # fmt: skip


def test_mlflow_of_several_tensors_names_them(tmp_path):
    found = of(tmp_path, "mlflow", s.Tensor("string", (None,)), s.Tensor("float32", (None, 3)))
    assert json.loads(found.document["inputs"]) == [
        {"name": "p0", "type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}},
        {"name": "p1", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}},
    ]


def test_mlflow_params_of_lists(tmp_path):
    k = s.Parameter("k", s.List(s.Choice(("a", "b"))), required=False, default=["a"])
    found = written(tmp_path, "mlflow", {"predict": s.Method((s.Parameter("x", INT), k), FLOAT)})
    assert json.loads(found.document["params"]) == [{"name": "k", "default": ["a"], "shape": [-1], "type": "string"}]


KINDS = [
    INT, s.Choice((1,)), s.List(INT), s.Set(INT), s.Tuple((INT,)), s.Map(INT, INT), s.Record(()), s.Union((INT, TEXT)),
    FLIGHTS, s.Series(INT, "int64"), s.Tensor("int64", (None,)), s.Reference("Node"), s.Any(),
    *(s.Scalar(dtype) for dtype in s.SCALARS),
]  # fmt: skip


@pytest.mark.parametrize("form", ["json-schema", "arrow", "open-inference", "mlflow"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: getattr(kind, "dtype", None) or kind.kind)
def test_every_form_writes_every_type(tmp_path, form, kind):
    found = of(tmp_path, form, kind, returns=kind)
    assert json.loads(json.dumps(found.document)) == found.document


def test_every_type_of_the_grammar_is_tried():
    assert {kind.kind for kind in KINDS} == set(TYPES)
