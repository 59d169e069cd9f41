"""A signature as others write it: what each form says, and what it says that it cannot."""

import json

import jsonschema
import pyarrow as pa
import pytest
from handmade import make_envelope
from openapi_spec_validator import validate

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrow.streams import arrow_schema
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
    assert list(found.document["methods"]) == ["predict"]
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
        "has no rows, and stands in the schema's metadata as JSON: `predict.limit`",
        "the values of a choice are data, and no part of a schema: `predict.origin`",
    )


ARROW_KINDS = [
    *(s.Scalar(dtype) for dtype in s.SCALARS),
    *(s.Scalar("datetime", unit=unit) for unit in ("s", "ms", "us", "ns", "D", "h", "M")),
    *(s.Scalar("timedelta", unit=unit) for unit in ("s", "ns", "D", "Y")),
    *(s.Scalar("time", unit=unit) for unit in ("s", "ms", "us", "ns")),
    s.Scalar("datetime", timezone="Europe/Vienna", nullable=True), s.Scalar("datetime", timezone=""),
    s.Choice(("a", "b"), ordered=True), s.Choice((1, 2)), s.Choice((1.5, 2.5)), s.Choice((True,)), s.Choice((1, "a")),
    s.Choice(("2020-01-31",), dtype="date"), s.List(INT), s.Set(s.Scalar("int64", nullable=True)),
    s.Tuple((INT, INT)), s.Tuple((INT, TEXT)), s.Map(TEXT, INT), s.Record(()),
    s.Record((s.Field("a", INT), s.Field("b", TEXT, False))),
    s.Union((INT, TEXT)), s.Tensor("float32", (3, None)), s.Reference("Node"), s.Any(),
]  # fmt: skip


def arrow_type(field):
    """Make what a field in the form stands for with pyarrow."""
    kind = field["type"]
    inner = [pa.field(item["name"], arrow_type(item), item["nullable"]) for item in field["children"]]
    unit = {"SECOND": "s", "MILLISECOND": "ms", "MICROSECOND": "us", "NANOSECOND": "ns"}.get(kind.get("unit"))
    match kind["name"]:
        case "int":
            found = getattr(pa, f"{'' if kind['isSigned'] else 'u'}int{kind['bitWidth']}")()
        case "floatingpoint":
            found = {"HALF": pa.float16, "SINGLE": pa.float32, "DOUBLE": pa.float64}[kind["precision"]]()
        case "timestamp":
            found = pa.timestamp(unit, kind.get("timezone"))
        case "time":
            found = getattr(pa, f"time{kind['bitWidth']}")(unit)
        case "duration":
            found = pa.duration(unit)
        case "list":
            found = pa.list_(inner[0])
        case "fixedsizelist":
            found = pa.list_(inner[0], kind["listSize"])
        case "struct":
            found = pa.struct(inner)
        case "map":
            key, value = field["children"][0]["children"]
            found = pa.map_(arrow_type(key), pa.field("value", arrow_type(value), value["nullable"]))
        case name:
            found = {"utf8": pa.string, "binary": pa.binary, "bool": pa.bool_, "date": pa.date32}[name]()
    return pa.dictionary(pa.int32(), found, field["dictionary"]["isOrdered"]) if "dictionary" in field else found


@pytest.mark.parametrize("kind", ARROW_KINDS, ids=str)
def test_arrow_is_the_schema_of_the_streams_that_are_read(tmp_path, kind):
    method = s.Method((s.Parameter("x", s.Table((s.Column("c", kind, "object"),))),), s.Series(kind, "object"))
    found = written(tmp_path, "arrow", {"predict": method}).document["methods"]["predict"]
    for side, schema in (("input", arrow_schema(method)), ("output", arrow_schema(method, "answer"))):
        (field,) = found[side]["fields"]
        assert pa.schema([pa.field(field["name"], arrow_type(field), field["nullable"])]).equals(schema)


def test_arrow_says_what_it_loses(tmp_path):
    optional = s.Record((s.Field("a", s.Scalar("int64", nullable=True), required=False),))
    kinds = {"p0": s.Set(INT), "p1": optional, "p2": s.Scalar("datetime", timezone=""), "p3": s.Any(),
             "p4": s.Scalar("period", unit="M")}  # fmt: skip
    table = s.Table(tuple(s.Column(name, kind, "object") for name, kind in kinds.items()))
    assert of(tmp_path, "arrow", table).lost == (
        "has no rows, and stands in the schema's metadata as JSON: `predict.answer`",
        "a list may hold an item twice: `predict.p0`",
        "null and missing are one: `predict.p1.a`",
        "a moment keeps no offset of its own: `predict.p2`",
        "Arrow has no type for it, and it is JSON inside a text: `predict.p3`",
        "a period is written as text: `predict.p4`",
    )


def test_arrow_of_several_values_with_rows(tmp_path):
    two = (s.Parameter("x", s.Tensor("int64", (None,))), s.Parameter("y", FLIGHTS), s.Parameter("k", INT))
    found = written(tmp_path, "arrow", {"predict": s.Method(two, s.Series(INT, "int64", name="score"))})
    x, y = found.document["methods"]["predict"]["input"]["fields"]
    assert (x["name"], x["type"]) == ("x", {"name": "int", "bitWidth": 64, "isSigned": True})
    assert (y["name"], y["type"]) == ("y", {"name": "struct"})
    assert [child["name"] for child in y["children"]] == ["origin", "delay", "at", "tags"]


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
