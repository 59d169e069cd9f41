import pytest

from model_envelope.foundation import spelling
from model_envelope.runtime import signature as s

FLOAT, TEXT = s.Scalar("float64"), s.Scalar("string")
PERSON = s.Record((s.Field("name", TEXT), s.Field("age", FLOAT, required=False)), cls="people:Person")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FLOAT, "float64"),
        (s.Scalar("string", nullable=True), "string, or null"),
        (s.Scalar("datetime", timezone="Europe/Vienna"), "datetime in Europe/Vienna"),
        (s.Scalar("datetime", timezone=""), "datetime with any offset"),
        (s.Scalar("null", nullable=True), "null"),
        (s.Record((s.Field("left", FLOAT), s.Field("right", FLOAT)), style=s.Style.INTERVAL), "interval of float64"),
        (s.Choice(("a", 1, None)), 'one of "a", 1, null'),
        (s.Choice(tuple(range(9))), "one of 0, 1, 2, 3, 4, 5 and 3 more"),
        (s.List(FLOAT), "list of float64"),
        (s.Set(TEXT), "set of string"),
        (s.Tuple((FLOAT, TEXT)), "tuple of float64, string"),
        (s.Tuple(()), "empty tuple"),
        (s.Map(TEXT, s.List(FLOAT)), "map from string to list of float64"),
        (PERSON, "Person of 2 fields"),
        (s.Record((s.Field("x", FLOAT),), nullable=True), "object of 1 field, or null"),
        (s.Union((FLOAT, TEXT)), "float64 or string"),
        (s.Table((s.Column("x", FLOAT, "float64"),)), "pandas table of 1 column"),
        (s.Series(FLOAT, "float64", flavor=s.Flavor.POLARS), "polars series of float64"),
        (s.Tensor("float32", (None, 3, None), batch=0), "numpy float32[n, 3, any]"),
        (s.Reference("Node"), "Node"),
        (s.Any(), "any JSON"),
    ],
)
def test_types_in_a_few_words(kind, words):
    assert spelling.kind(kind) == words


def test_every_type_of_the_grammar_is_spelled():
    from model_envelope.runtime.signature_document import TYPES

    tested = {kind.values[0].kind if hasattr(kind, "values") else kind[0].kind for kind in _cases()}
    assert tested == set(TYPES)


def _cases():
    return test_types_in_a_few_words.pytestmark[0].args[1]


def test_the_head_of_a_method():
    method = s.Method(
        (
            s.Parameter("x", FLOAT),
            s.Parameter("rest", FLOAT, s.Kind.VARIADIC, required=False),
            s.Parameter("k", FLOAT, s.Kind.KEYWORD, required=False, default="ä"),
            s.Parameter("more", FLOAT, s.Kind.VARIADIC_KEYWORD, required=False),
        ),
        FLOAT,
        is_async=True,
    )
    assert spelling.method("score", method) == 'async score(x, *rest, k="ä", **more)'


def test_what_is_worth_a_line_of_its_own():
    table = s.Table((s.Column("x", FLOAT, "float64"),), index=(s.Column("at", TEXT, "str"),))
    assert list(spelling.inside(table)) == [("at (index)", TEXT), ("x", FLOAT)]
    assert list(spelling.inside(PERSON)) == [("name", TEXT), ("age?", FLOAT)]
    assert list(spelling.inside(s.List(PERSON))) == [("each", PERSON)]
    assert list(spelling.inside(s.Map(TEXT, PERSON))) == [("each value", PERSON)]
    assert list(spelling.inside(s.Tuple((FLOAT, PERSON)))) == [("0", FLOAT), ("1", PERSON)]
    assert list(spelling.inside(s.Union((FLOAT, PERSON)))) == [("either", FLOAT), ("or", PERSON)]
    assert list(spelling.inside(s.List(FLOAT))) == []
