import jsonschema
import pytest

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import codec_for
from model_envelope.runtime.errors import Problems
from model_envelope.runtime.json_schema import OPENAPI, body_schema, schema_of

TABLE = s.Table(
    (s.Column("a", s.Scalar("int64", nullable=True), "Int64"), s.Column("b", s.Choice(("x", "y")), "category"))
)
TREE = s.Record((s.Field("name", s.Scalar("string")), s.Field("below", s.List(s.Reference("m:Tree")))))
DEFINITIONS = {"m:Tree": TREE}

CASES = [
    (s.Scalar("null"), [None], [0, ""]),
    (s.Scalar("bool"), [True, False], [0, "true", None]),
    (s.Scalar("int8"), [-128, 127], [128, 1.5, "1", True]),
    (s.Scalar("uint64"), [0, 2**64 - 1], [-1, 2**64]),
    (s.Scalar("float64"), [1, 1.5, -2e300], ["NaN", None, "1"]),
    (s.Scalar("float64", non_finite=True), [1.0, "NaN", "-Infinity"], ["nan", None]),
    (s.Scalar("float64", nullable=True, non_finite=True), [1.0, "NaN", None], ["x"]),
    (s.Scalar("string"), ["", "x"], [1, None]),
    (s.Scalar("decimal"), ["1.10"], [1.1]),
    (s.Scalar("bytes"), ["aGk="], [1]),
    (s.Scalar("date"), ["2024-01-31"], [20240131]),
    (s.Scalar("time"), ["10:00:00"], [10]),
    (s.Scalar("datetime"), ["2024-01-31T10:00:00"], [0]),
    (s.Scalar("datetime", timezone="UTC"), ["2024-01-31T10:00:00+00:00"], [0]),
    (s.Scalar("timedelta"), ["P1DT2H", "PT0.5S", "-P1D", "P-1DT23H59M59S"], ["1 day", 1.5, "P1Y", "1D"]),
    (s.Scalar("period", unit="M"), ["2024-01"], [2024]),
    (s.Scalar("complex128"), [[1, 2.5]], [[1], 1, ["NaN", 0]]),
    (s.Scalar("complex64", non_finite=True), [[1, "NaN"]], [[1, "x"], [1e39, 0]]),
    (s.Scalar("float32"), [1.5], [1e39]),
    (s.Scalar("decimal", non_finite=True), ["1.10", "NaN"], ["sNaN", "one"]),
    (s.Scalar("uuid"), ["12345678-1234-5678-1234-567812345678"], [1]),
    (s.Choice(("a", 1)), ["a", 1], ["b", 2, None]),
    (s.Choice(("a",), nullable=True), ["a", None], ["b"]),
    (s.List(s.Scalar("int64")), [[], [1, 2]], [None, {}, ["a"]]),
    (s.List(s.Scalar("int64", nullable=True), nullable=True), [None, [1, None]], [["a"]]),
    (s.Set(s.Scalar("int64")), [[1, 2]], [[1, 1], 1]),
    (s.Tuple((s.Scalar("int64"), s.Scalar("string"))), [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
    (s.Tuple(()), [[]], [[1]]),
    (s.Map(s.Scalar("string"), s.Scalar("int64")), [{}, {"a": 1}], [{"a": "x"}, []]),
    (s.Map(s.Scalar("int64"), s.Scalar("string")), [[], [[1, "a"]]], [{"1": "a"}, [["a", 1]], [[1]]]),
    (
        s.Record((s.Field("a", s.Scalar("int64")), s.Field("b", s.Scalar("string"), required=False, default="x"))),
        [{"a": 1}, {"a": 1, "b": "y"}],
        [{}, {"a": 1, "c": 2}, {"b": "x"}, []],
    ),
    (s.Union((s.Scalar("int64"), s.Scalar("string"))), [1, "a"], [None, 1.5, []]),
    (s.Union((s.Scalar("int64"), s.Scalar("string")), nullable=True), [1, "a", None], [[]]),
    (
        s.Union((s.Scalar("date"), s.Scalar("string")), tags=("date", "string")),
        [{"type": "date", "value": "2020-01-31"}, {"type": "string", "value": "2020-01-31"}],
        ["2020-01-31", {"type": "date"}, {"type": "time", "value": "x"}, {"type": "date", "value": 1}, None],
    ),
    (
        TABLE,
        [
            [],
            [{"a": 1, "b": "x"}, {"b": "y", "a": None}],
            {"a": [1, None], "b": ["x", "y"]},
            {"columns": ["b", "a"], "data": [["x", 1]]},
        ],
        [[{"a": 1}], [{"a": 1, "b": "z"}], {"a": [1]}, {"a": 1, "b": "x"}, None, [{"a": 1, "b": "x", "c": 2}]],
    ),
    (s.Series(s.Scalar("float64", nullable=True), "float64"), [[], [1.5, None]], [["x"], None, {}]),
    (s.Tensor("int32", (None, 2)), [[[0, 0]], [[1, 2], [3, 4]]], [[1, 2], [[1]], [[1, 2, 3]], [[1.5, 2]]]),
    (s.Tensor("float64", (2,), non_finite=True), [[1.0, None], ["Infinity", 2]], [[1.0], ["x", 1]]),
    (s.Tensor("float64", (2,)), [[1.0, 2]], [[1.0, None]]),
    (
        s.Reference("m:Tree"),
        [{"name": "a", "below": [{"name": "b", "below": []}]}],
        [{"name": "a", "below": [{}]}, None],
    ),
    (s.Reference("m:Tree", nullable=True), [None, {"name": "a", "below": []}], [1]),
    (s.Any(), [None, 1, "a", [], {}], []),
]


@pytest.mark.parametrize(("kind", "good", "bad"), CASES, ids=lambda case: getattr(case, "kind", None))
def test_the_schema_says_what_the_codec_takes(kind, good, bad):
    schema = schema_of(kind, DEFINITIONS)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    codec = codec_for(kind, DEFINITIONS)
    for value in good:
        validator.validate(value)
        problems = Problems()
        answer = codec.encode(codec.decode(value, "$", problems), "$", problems)
        assert not problems, problems.items
        jsonschema.validate(answer, schema_of(kind, DEFINITIONS, answer=True), jsonschema.Draft202012Validator)
    for value in bad:
        assert not validator.is_valid(value), value
        problems = Problems()
        codec.decode(value, "$", problems)
        assert problems, value


def test_every_type_of_the_grammar_has_a_case():
    assert {type(kind) for kind, _, _ in CASES} == set(s.Type.__args__)
    assert {kind.dtype.rstrip("0123456789") for kind, _, _ in CASES if isinstance(kind, s.Scalar)} == {
        dtype.rstrip("0123456789") for dtype in s.SCALARS
    }


def test_a_body_has_defaults_variadics_and_no_unknown_parameters():
    method = s.Method(
        (
            s.Parameter("x", s.Scalar("int64")),
            s.Parameter("rest", s.Scalar("string"), s.Kind.VARIADIC),
            s.Parameter("k", s.Scalar("int64"), s.Kind.KEYWORD, required=False, default=3),
            s.Parameter("more", s.Scalar("bool"), s.Kind.VARIADIC_KEYWORD),
        ),
        s.Any(),
    )
    schema = body_schema(method)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"x": 1})
    validator.validate({"x": 1, "rest": ["a"], "k": 2, "more": {"flag": True}})
    assert schema["properties"]["k"]["default"] == 3
    for wrong in ({}, {"x": 1, "y": 2}, {"x": 1, "rest": [1]}, {"x": 1, "more": {"flag": 1}}):
        assert not validator.is_valid(wrong)


def test_references_of_an_openapi_document_have_names_that_it_admits():
    assert schema_of(s.Reference("m:Tree"), DEFINITIONS, OPENAPI) == {"$ref": "#/components/schemas/m_Tree"}
