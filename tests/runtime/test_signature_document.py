import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_envelope.runtime import signature as s
from model_envelope.runtime import signature_document
from model_envelope.runtime.errors import InvalidSignature

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
FLAGS = st.booleans()
SCALARS = st.builds(
    s.Scalar,
    st.sampled_from(sorted(s.SCALARS)),
    FLAGS,
    unit=st.none() | st.just("ns"),
    timezone=st.none() | st.just("UTC"),
    non_finite=FLAGS,
)
CHOICES = st.builds(s.Choice, st.lists(st.integers() | NAMES, min_size=1, max_size=3).map(tuple), FLAGS, FLAGS)
LEAVES = SCALARS | CHOICES | st.builds(s.Any) | st.builds(s.Reference, NAMES, FLAGS)
COLUMNS = st.builds(s.Column, NAMES, SCALARS | CHOICES, st.just("object"), st.none() | st.integers())
TENSORS = st.builds(
    s.Tensor,
    st.sampled_from(["float64", "int64"]),
    st.lists(st.none() | st.integers(0, 9), max_size=3).map(tuple),
    st.none() | st.just(0),
    st.sampled_from(s.Flavor),
)


def _containers(inner):
    fields = st.builds(s.Field, NAMES, inner, FLAGS, st.none() | st.integers())
    return (
        st.builds(s.List, inner, FLAGS)
        | st.builds(s.Set, inner, FLAGS, FLAGS)
        | st.builds(s.Tuple, st.lists(inner, max_size=3).map(tuple), FLAGS)
        | st.builds(s.Map, inner, inner, FLAGS)
        | st.builds(s.Record, st.lists(fields, max_size=3).map(tuple), FLAGS, st.none() | NAMES)
        | st.builds(s.Union, st.lists(inner, min_size=1, max_size=3).map(tuple), FLAGS)
    )


TYPES = st.recursive(
    LEAVES
    | TENSORS
    | st.builds(s.Table, st.lists(COLUMNS, max_size=3).map(tuple), st.lists(COLUMNS, max_size=1).map(tuple))
    | st.builds(s.Series, SCALARS, st.just("object"), st.none() | NAMES),
    _containers,
    max_leaves=5,
)
PARAMETERS = st.builds(s.Parameter, NAMES, TYPES, st.sampled_from(s.Kind), FLAGS, st.none() | st.integers())
METHODS = st.builds(
    s.Method,
    st.lists(PARAMETERS, max_size=3).map(tuple),
    TYPES,
    FLAGS,
    st.sampled_from(s.Answer),
    st.sampled_from(s.Answer),
    st.builds(s.Tolerance, st.sampled_from(s.Closeness), st.just(1e-6), st.just(0.0)),
)
SIGNATURES = st.builds(
    s.Signature, st.dictionaries(NAMES, METHODS, min_size=1, max_size=2), st.dictionaries(NAMES, TYPES, max_size=2)
)


@given(SIGNATURES)
def test_every_signature_survives_json(signature):
    document = json.loads(json.dumps(signature_document.to_document(signature)))
    assert signature_document.from_document(document) == signature


def test_every_type_of_the_grammar_has_a_document():
    import typing

    assert set(signature_document.TYPES.values()) == set(typing.get_args(s.Type))


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "signature.malformed"),
        ({"format": 99, "methods": {}}, "signature.newer-format"),
        ({"format": 1}, "signature.malformed"),
        ({"format": 1, "methods": {"predict": {"returns": {"type": "any"}}}}, "signature.missing-field"),
        (
            {"format": 1, "methods": {"predict": {"parameters": [], "returns": {"type": "frob"}}}},
            "signature.unknown-type",
        ),
        (
            {"format": 1, "methods": {"predict": {"parameters": [], "returns": {"type": "any", "more": 1}}}},
            "signature.unknown-field",
        ),
        (
            {"format": 1, "methods": {"p": {"parameters": [], "returns": {"type": "any"}, "row_wise": "maybe"}}},
            "signature.malformed",
        ),
    ],
)
def test_a_document_that_is_none_is_refused_with_its_place(document, code):
    with pytest.raises(InvalidSignature) as caught:
        signature_document.from_document(document)
    assert caught.value.code == code
