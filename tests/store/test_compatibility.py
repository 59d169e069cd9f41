"""What may take the place of what: by hand for every kind of change, and by generated pairs."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies_tables import TEXT_STORAGE

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.errors import InvalidPayload
from model_envelope.store.compatibility import Verdict, compare
from model_envelope.store.shapes import Language

INT, FLOAT, TEXT, DATE = s.Scalar("int64"), s.Scalar("float64"), s.Scalar("string"), s.Scalar("date")
MAYBE = s.Scalar("int64", nullable=True)


def taking(kind, *, returns=FLOAT, definitions=None, more=()):
    return s.Signature({"predict": s.Method((s.Parameter("x", kind), *more), returns)}, definitions or {})


def answering(kind):
    return taking(INT, returns=kind)


def table(flavor=s.Flavor.PANDAS, **columns):
    storages = {"int64": "int64", "float64": "float64", "string": TEXT_STORAGE}
    made = [
        s.Column(name, kind, storages.get(getattr(kind, "dtype", ""), TEXT_STORAGE)) for name, kind in columns.items()
    ]
    return s.Table(tuple(made), flavor=flavor)


def record(**fields):
    return s.Record(tuple(s.Field(name, kind) for name, kind in fields.items()))


def node(kind):
    return {"Node": record(value=kind, inner=s.List(s.Reference("Node")))}


def admits(signature, body):
    try:
        MethodCodec(signature.methods["predict"], signature.definitions).decode(body)
    except InvalidPayload:
        return False
    return True


NODE = s.Reference("Node")

COMPATIBLE = {
    "wider integers": (s.Scalar("int8"), INT),
    "int64 to float64": (INT, FLOAT),
    "a date is a string": (DATE, TEXT),
    "null is admitted too": (INT, MAYBE),
    "more choices": (s.Choice(("a",)), s.Choice(("a", "b"))),
    "choices that are strings": (s.Choice(("a", "b")), TEXT),
    "anything": (record(a=INT), s.Any()),
    "NaN is admitted too": (FLOAT, s.Scalar("float64", non_finite=True)),
    "a tuple is a list": (s.Tuple((INT, INT)), s.List(FLOAT)),
    "a set is a list": (s.Set(INT), s.List(INT)),
    "one more option": (INT, s.Union((INT, TEXT))),
    "options of one type": (s.Union((s.Choice(("a",)), s.Choice((1,)))), s.Union((TEXT, INT))),
    "a record is a map": (record(a=INT, b=INT), s.Map(TEXT, FLOAT)),
    "an optional field": (record(a=INT), s.Record((s.Field("a", INT), s.Field("b", INT, required=False)))),
    "columns in another order": (table(a=INT, b=TEXT), table(b=TEXT, a=INT)),
    "another library": (table(a=INT), table(s.Flavor.NUMPY, a=INT)),
    "arrays of any width": (s.Tensor("float64", (None, 2)), s.Tensor("float64", (None, None))),
    "a list as a series": (s.List(INT), s.Series(INT, "int64")),
}

BREAKING = {
    "narrower integers": (INT, s.Scalar("int8"), "$.x", "int64", "int8"),
    "float64 to int64": (FLOAT, INT, "$.x", "float64", "int64"),
    "a string is no date": (TEXT, DATE, "$.x", "string", "date"),
    "null no more": (MAYBE, INT, "$.x", "int64, or null", "int64"),
    "true is no 1": (s.Choice((True,)), s.Choice((1,)), "$.x", "one of true", "one of 1"),
    "fewer choices": (s.Choice(("a", "b")), s.Choice(("a",)), "$.x", 'one of "a", "b"', 'one of "a"'),
    "not anything": (s.Any(), TEXT, "$.x", "any JSON", "string"),
    "NaN no more": (s.Scalar("float64", non_finite=True), FLOAT, "$.x", "float64 (NaN and infinities)", "float64"),
    "a list has any length": (s.List(INT), s.Tuple((INT,)), "$.x", "an array of any length", "an array of 1"),
    "a longer tuple": (s.Tuple((INT,)), s.Tuple((INT, INT)), "$.x", "an array of 1", "an array of 2"),
    "inside a tuple": (s.Tuple((INT, FLOAT)), s.Tuple((INT, INT)), "$.x[1]", "float64", "int64"),
    "distinct items": (s.List(INT), s.Set(INT), "$.x", "list of any JSON", "set of any JSON"),
    "inside a list": (s.List(TEXT), s.List(DATE), "$.x[*]", "string", "date"),
    "inside a map": (s.Map(TEXT, FLOAT), s.Map(TEXT, INT), "$.x.*", "float64", "int64"),
    "keys of a map": (s.Map(FLOAT, TEXT), s.Map(INT, TEXT), "$.x[*][0]", "float64", "int64"),
    "a map is no record": (s.Map(TEXT, INT), record(a=INT), "$.x", "map from string to int64", "object of 1 field"),
    "one option less": (s.Union((INT, TEXT)), INT, "$.x", "string", "int64"),
    "a list of either": (
        s.List(s.Union((INT, TEXT))), s.Union((s.List(INT), s.List(TEXT))), "$.x",
        "list of int64 or string", "list of int64 or list of string",
    ),
    "tags are new": (INT, s.Union((INT, TEXT), tags=("a", "b")), "$.x", "int64", "int64 or string"),
    "a field is gone": (record(a=INT, b=INT), record(a=INT), "$.x.b", "int64", "gone"),
    "a field is new": (record(a=INT), record(a=INT, b=INT), "$.x.b", "not there", "int64, required"),
    "a field is required": (
        s.Record((s.Field("a", INT, required=False),)), record(a=INT), "$.x.a", "optional", "required",
    ),
    "a column is gone": (table(a=INT, b=TEXT), table(a=INT), "$.x[*].b", "string", "gone"),
    "a column is new": (table(a=INT), table(a=INT, b=TEXT), "$.x[*].b", "not there", "string, required"),
    "a narrower column": (table(a=TEXT), table(a=s.Choice(("u", "v"))), "$.x[*].a", "string", 'one of "u", "v"'),
    "a table is no list": (
        table(a=INT), s.List(record(a=INT)), "$.x", "pandas table of 1 column", "list of object of 1 field",
    ),
    "another width": (
        s.Tensor("float64", (None, 2)), s.Tensor("float64", (None, 3)), "$.x[*]", "an array of 2", "an array of 3",
    ),
    "ragged lists are no array": (
        s.List(s.List(FLOAT)), s.Tensor("float64", (None, None)), "$.x",
        "list of list of float64", "numpy float64[any, any]",
    ),
    "a scalar is no list": (INT, s.List(INT), "$.x", "int64", "list of int64"),
    "a list is no scalar": (s.List(INT), INT, "$.x", "list of int64", "int64"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPATIBLE)
def test_compatible(name):
    old, new = COMPATIBLE[name]
    found = compare(taking(old), taking(new))
    assert found.verdict is Verdict.COMPATIBLE, found
    assert found.breaking == ()


@pytest.mark.parametrize("name", BREAKING)
def test_breaking_with_a_request_that_shows_it(name):
    old, new, path, was, now = BREAKING[name]
    found = compare(taking(old), taking(new))
    assert found.verdict is Verdict.BREAKING
    (change,) = found.breaking
    assert (change.method, change.path, change.was, change.now) == ("predict", path, was, now)
    assert admits(taking(old), change.payload)
    assert not admits(taking(new), change.payload)


def test_identical_signatures():
    assert compare(taking(table(a=INT)), taking(table(a=INT))).verdict is Verdict.IDENTICAL
    assert compare(taking(table(a=INT)), taking(table(a=INT))).changes == ()


def test_the_request_shows_one_break_and_nothing_else():
    old, new = taking(table(a=INT, b=TEXT, c=TEXT)), taking(table(a=INT, b=DATE, c=s.Choice(("u",))))
    found = {change.path: change.payload for change in compare(old, new).breaking}
    assert found["$.x[*].b"] == {"x": [{"a": 1, "b": "text", "c": "text"}]}
    with pytest.raises(InvalidPayload) as refused:
        MethodCodec(new.methods["predict"], {}).decode({"x": [{"a": 1, "b": "2020-01-31", "c": "text"}]})
    assert [problem.path for problem in refused.value.problems] == ["$.x[0].c"]


def test_methods_come_and_go():
    one = s.Signature({"predict": s.Method((s.Parameter("x", INT),), FLOAT)})
    two = s.Signature({**one.methods, "explain": s.Method((s.Parameter("x", TEXT),), TEXT)})
    assert compare(one, two).verdict is Verdict.COMPATIBLE
    (gone,) = compare(two, one).changes
    assert (gone.method, gone.was, gone.now, gone.breaking) == ("explain", "a method", "gone", True)
    assert gone.payload == {"x": "text"}


def test_parameters_come_and_go():
    needed, free = s.Parameter("k", INT), s.Parameter("k", INT, required=False, default=3)
    plain = taking(FLOAT)
    (new,) = compare(plain, taking(FLOAT, more=(needed,))).changes
    assert (new.path, new.now, new.breaking, new.payload) == ("$.k", "int64, required", True, {"x": 1})
    (optional,) = compare(plain, taking(FLOAT, more=(free,))).changes
    assert (optional.path, optional.now, optional.breaking) == ("$.k", "int64, optional", False)
    (gone,) = compare(taking(FLOAT, more=(free,)), plain).changes
    assert (gone.path, gone.now, gone.payload) == ("$.k", "gone", {"x": 1, "k": 1})
    other = s.Parameter("k", INT, required=False, default=5)
    (default,) = compare(taking(FLOAT, more=(free,)), taking(FLOAT, more=(other,))).changes
    assert (default.was, default.now, default.breaking) == ("3 by default", "5 by default", False)


def test_variadic_parameters():
    many = s.Parameter("rest", INT, s.Kind.VARIADIC, required=False)
    named = s.Parameter("more", INT, s.Kind.VARIADIC_KEYWORD, required=False)
    assert compare(taking(INT), taking(INT, more=(many, named))).verdict is Verdict.COMPATIBLE
    narrow = s.Parameter("rest", s.Scalar("int8"), s.Kind.VARIADIC, required=False)
    (change,) = compare(taking(INT, more=(many,)), taking(INT, more=(narrow,))).breaking
    assert change.path == "$.rest[*]"
    assert change.payload == {"x": 1, "rest": [-129]}


def test_a_type_that_contains_itself():
    old, wider, other = (taking(NODE, definitions=node(kind)) for kind in (INT, FLOAT, TEXT))
    assert compare(old, wider).verdict is Verdict.COMPATIBLE
    (change,) = compare(old, other).breaking
    assert (change.path, change.payload) == ("$.x.value", {"x": {"value": 1, "inner": []}})
    endless = {"Node": s.Union((INT, s.List(s.Reference("Node")), s.Map(TEXT, s.Reference("Node"))))}
    assert compare(taking(NODE, definitions=endless), taking(NODE, definitions=endless)).verdict is Verdict.IDENTICAL
    shorter = {"Node": s.Union((INT, s.List(s.Reference("Node"))))}
    (change,) = compare(taking(NODE, definitions=endless), taking(NODE, definitions=shorter)).breaking
    assert change.payload == {"x": {"key": 1}}


@pytest.mark.parametrize(
    ("old", "new", "breaking"),
    [
        (FLOAT, INT, [("->", "float64", "int64")]),
        (INT, FLOAT, [("->", "int64", "float64")]),
        (TEXT, s.Choice(("a", "b")), []),
        (s.Choice(("a",)), s.Choice(("a", "b")), [("->", 'one of "a"', 'one of "a", "b"')]),
        (MAYBE, INT, []),
        (INT, MAYBE, [("->", "int64", "int64, or null")]),
        (table(a=INT), table(a=INT, b=INT), [("->[*].b", "not there", "int64")]),
        (table(a=INT, b=INT), table(a=INT), [("->[*].b", "int64", "gone")]),
        (s.Tensor("int64", (None,)), s.Tensor("float64", (None,)), [("->[*]", "int64", "float64")]),
        (s.Tensor("float64", (None, 2)), s.Tensor("float64", (None, 3)), [("->[*]", "an array of 2", "an array of 3")]),
        (s.List(INT), s.Tuple((INT, INT)), []),
        (s.Record((s.Field("a", INT, required=False),)), record(a=INT), []),
        (record(a=INT), s.Record((s.Field("a", INT, required=False),)), [("->.a", "required", "optional")]),
    ],
)
def test_answers_may_become_narrower_and_keep_their_type(old, new, breaking):
    found = compare(answering(old), answering(new))
    assert [(change.path, change.was, change.now) for change in found.breaking] == breaking
    assert found.verdict is (Verdict.BREAKING if breaking else Verdict.COMPATIBLE)


def test_how_a_method_behaves_is_told_and_breaks_nothing():
    old, new = taking(INT), taking(INT)
    behaves = s.Method(new.methods["predict"].parameters, FLOAT, row_wise=s.Answer.NO)
    (change,) = compare(old, s.Signature({"predict": behaves})).changes
    assert (change.was, change.now, change.breaking) == ("row-wise: unknown", "row-wise: no", False)


def test_classes_of_the_model_are_not_imported():
    old = s.Record((s.Field("a", s.Choice((1, 2), enum="nowhere:Enum")),), cls="nowhere:Class", style=s.Style.DATACLASS)
    new = s.Record((s.Field("a", s.Choice((1,), enum="nowhere:Enum")),), cls="nowhere:Class", style=s.Style.DATACLASS)
    (change,) = compare(taking(old), taking(new)).breaking
    assert change.payload == {"x": {"a": 2}}


def test_a_library_that_is_not_here(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    (change,) = compare(taking(table(a=TEXT)), taking(table(a=s.Choice(("u",))))).breaking
    assert change.payload == {"x": [{"a": "text"}]}


def test_a_series_that_travels_with_its_index():
    def series(*index):
        return s.Series(INT, "int64", name="y", index=tuple(s.Column(name, TEXT, TEXT_STORAGE) for name in index))

    assert compare(taking(series("at")), taking(series("at"))).verdict is Verdict.IDENTICAL
    (change,) = compare(taking(series("at")), taking(s.Series(INT, "int64"))).breaking
    assert change.payload == {"x": [{"at": "text", "y": 1}]}
    (more,) = compare(taking(series("at")), taking(series("at", "by"))).breaking
    assert (more.path, more.now) == ("$.x[*].by", "string, required")


def test_many_changes_are_bounded():
    old = table(**{f"c{at}": TEXT for at in range(150)})
    new = table(**{f"c{at}": DATE for at in range(150)})
    assert len(compare(taking(old), taking(new)).changes) == 100


SCALARS = st.sampled_from(
    [INT, FLOAT, TEXT, DATE, MAYBE, s.Scalar("bool"), s.Scalar("int8"), s.Scalar("uint64"), s.Scalar("uuid"),
     s.Scalar("float32"), s.Scalar("datetime"), s.Scalar("datetime", timezone="UTC"), s.Scalar("decimal"),
     s.Scalar("timedelta"), s.Scalar("float64", non_finite=True), s.Scalar("bytes"), s.Scalar("time")]
)  # fmt: skip
CHOICES = st.lists(st.sampled_from(["a", "b", 1, 2, "2020-01-31"]), min_size=1, unique=True).map(
    lambda values: s.Choice(tuple(values))
)
NAMES = st.lists(st.sampled_from("abc"), unique=True, max_size=3)


def records(inner):
    field = st.tuples(inner, st.booleans())
    return NAMES.flatmap(
        lambda names: st.tuples(*(field for _ in names)).map(
            lambda parts: s.Record(tuple(s.Field(name, *part) for name, part in zip(names, parts, strict=True)))
        )
    )


def tables(columns):
    return st.lists(st.sampled_from("abc"), unique=True, min_size=1).flatmap(
        lambda names: st.tuples(*(columns for _ in names)).map(
            lambda kinds: table(**dict(zip(names, kinds, strict=True)))
        )
    )


NESTED = st.recursive(
    SCALARS | CHOICES,
    lambda inner: st.one_of(
        inner.map(s.List),
        st.lists(inner, max_size=2).map(lambda items: s.Tuple(tuple(items))),
        inner.map(lambda value: s.Map(TEXT, value)),
        records(inner),
    ),
    max_leaves=4,
)
KINDS = NESTED | tables(st.sampled_from([INT, FLOAT, TEXT, s.Choice(("a", "b")), s.Choice(("a",))]))

ODD_TEXTS = st.sampled_from(["a", "b", "", "2020-01-31", "2020-02-30", "NaN", "Infinity", "1.5", "AAAA", "12:30:00"])
JSON = {
    "bool": st.booleans(), "string": ODD_TEXTS | st.text(max_size=5),
    "uuid": st.uuids().map(str), "date": st.dates().map(str), "time": st.times().map(lambda value: value.isoformat()),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False).map(str),
    "timedelta": st.integers(0, 50).map(lambda seconds: f"P0DT0H0M{seconds}S"),
    "bytes": st.sampled_from(["", "AAAA", "YWJj", "AA=="]),
}  # fmt: skip


def payloads(kind):
    """Give JSON values of a type, without asking the code under test."""
    match kind:
        case s.Scalar():
            found = _scalar_payloads(kind)
        case s.Choice():
            found = st.sampled_from(kind.values)
        case s.List():
            found = st.lists(payloads(kind.item), max_size=3)
        case s.Tuple():
            found = st.tuples(*map(payloads, kind.items)).map(list)
        case s.Map():
            found = st.dictionaries(st.sampled_from("abcd"), payloads(kind.value), max_size=3)
        case s.Record():
            found = st.fixed_dictionaries(
                {item.name: payloads(item.type) for item in kind.fields if item.required},
                optional={item.name: payloads(item.type) for item in kind.fields if not item.required},
            )
        case s.Table():
            row = st.fixed_dictionaries({column.name: payloads(column.type) for column in kind.columns})
            found = st.lists(row, max_size=3)
    return st.none() | found if kind.nullable else found


def _scalar_payloads(kind):
    if kind.dtype in {"int8", "int64", "uint64"}:
        bits = int(kind.dtype.lstrip("uint"))
        least, most = (0, 2**bits - 1) if kind.dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return st.integers(least, most) | st.sampled_from([least, most, 0, 1])
    if kind.dtype == "float64":
        finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5)
        return finite | st.sampled_from(["NaN", "Infinity"]) if kind.non_finite else finite
    if kind.dtype == "float32":
        return st.floats(width=32, allow_nan=False, allow_infinity=False)
    if kind.dtype == "datetime":
        return st.datetimes().map(lambda moment: moment.isoformat() + ("" if kind.timezone is None else "Z"))
    return JSON[kind.dtype]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(KINDS, KINDS, st.data())
def test_compatible_exactly_when_there_is_no_counter_example(old, new, data):
    one, other = taking(old), taking(new)
    found = compare(one, other)
    for change in found.breaking:
        assert admits(one, change.payload)
        assert not admits(other, change.payload)
    if found.verdict is not Verdict.BREAKING:
        for _ in range(5):
            body = {"x": data.draw(payloads(old))}
            if admits(one, body):
                assert admits(other, body), f"{body} is a counter-example, and {found} says that there is none"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(KINDS)
def test_nothing_breaks_what_it_is_itself(kind):
    wider = s.with_nullable(kind)
    assert compare(taking(kind), taking(kind)).verdict is Verdict.IDENTICAL
    assert not compare(taking(kind), taking(wider)).breaking


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(KINDS)
def test_every_example_of_a_type_is_admitted(kind):
    examples = list(Language({}).examples(kind))
    assume(examples)
    for value in examples:
        assert admits(taking(kind), {"x": value}), f"{value} is no example of {kind}"
