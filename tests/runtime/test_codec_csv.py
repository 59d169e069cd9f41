import dataclasses

import numpy as np
import pandas as pd
import pytest
import strategies
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.csv import decode_csv, encode_csv, field_reader, read_sheet, write_sheet
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
TEXT = s.Scalar("string")
WHOLE = s.Scalar("int64")


def codec_of(*kinds, returns=None):
    parameters = tuple(s.Parameter(name, kind) for name, kind in zip("Xyz", kinds, strict=False))
    return MethodCodec(s.Method(parameters, returns or kinds[0]), {})


def mixed():
    return pd.DataFrame(
        {
            "age": pd.array([1, None], dtype="Int64"),
            "height": [1.5, float("nan")],
            "city": pd.Categorical(["b", "a"], categories=["a", "b"]),
            "name": ['x, "y"\r\nz', ""],
            "when": pd.to_datetime(["2020-01-01T10:00:00", "2020-01-02"], format="ISO8601"),
            "member": [True, False],
            "note": pd.array(["", None], dtype="string"),
        }
    )


def test_a_table_is_written_as_rfc_4180_and_read_back():
    frame = mixed()
    codec = codec_of(type_of(frame))
    raw = encode_csv(codec, frame)
    assert raw.decode() == (
        "age,height,city,name,when,member,note\r\n"
        '1,1.5,b,"x, ""y""\r\nz",2020-01-01T10:00:00,true,""\r\n'
        ',,a,"",2020-01-02T00:00:00,false,\r\n'
    )
    pd.testing.assert_frame_equal(decode_csv(codec, raw).positional[0], frame)


def test_line_feeds_a_byte_order_mark_and_columns_in_any_order_do():
    codec = codec_of(s.Table((s.Column("a", WHOLE, "int64"), s.Column("b", TEXT, "object"))))
    for raw in (b"a,b\r\n1,x\r\n", b"a,b\n1,x", b"\xef\xbb\xbfb,a\nx,1\n", b'"a","b"\n"1","x"\n'):
        found = decode_csv(codec, raw).positional[0]
        pd.testing.assert_frame_equal(found, pd.DataFrame({"a": [1], "b": pd.Series(["x"], dtype=object)}))


def test_all_problems_come_at_once_each_with_its_line():
    raw = (
        b"age,height,city,name,when,member,note,zip\n"
        b'3.7,tall,c,"a\nb",2020-01-31,True,,1\n'
        b"1,2,a,,2020-01-31T10:00:00,true,x,1\n"
    )
    with pytest.raises(InvalidPayload) as caught:
        decode_csv(codec_of(type_of(mixed())), raw)
    found = {(problem.path, problem.found, problem.code) for problem in caught.value.problems}
    assert found == {
        ("$.X[0].age", "3.7 (line 2)", "payload.type"),
        ("$.X[0].height", 'the string "tall" (line 2)', "payload.type"),
        ("$.X[0].city", 'the string "c" (line 2)', "payload.choice"),
        ("$.X[0].when", 'the string "2020-01-31" (line 2)', "payload.type"),
        ("$.X[0].member", 'the string "True" (line 2)', "payload.type"),
        ("$.X[1].name", "null (line 4)", "payload.null"),
        ("$.X.zip", "an unknown column (line 1)", "payload.unknown"),
    }


@pytest.mark.parametrize(
    ("raw", "said", "code"),
    [
        (b"", "it is empty", "payload.malformed"),
        ("a\nGrün\n".encode("latin-1"), "byte 4 (line 2) is no UTF-8", "payload.malformed"),
        (b'a,b\n"1,2\n', "line 2 has a quote that does not belong there", "payload.malformed"),
        (b'a,b\n1,x"y\n', "line 2 has a quote that does not belong there", "payload.malformed"),
        (b'a,b\n1,"x"y\n', "line 2 has text behind a closing quote", "payload.malformed"),
        (b"a,b\r1,2\r", "line 1 has a carriage return", "payload.malformed"),
        (b'a,"b"\r1,2\r', "line 1 has a carriage return", "payload.malformed"),
        (b"a,b\n1\n1,2,3\n", "line 2: found 1 field, expected 2 fields, as in the header", "payload.malformed"),
        (b"a,b\n1\n1,2,3\n", "line 3: found 3 fields, expected 2 fields, as in the header", "payload.malformed"),
        (b"a,a\n1,2\n", '"a" 2 times', "payload.malformed"),
    ],
)
def test_what_is_no_csv_is_refused_and_said_why(raw, said, code):
    with pytest.raises(InvalidPayload) as caught:
        read_sheet(raw)
    assert said in str(caught.value)
    assert caught.value.code == code


def test_columns_of_nested_values_are_refused_by_name():
    kind = s.Table((s.Column("a", WHOLE, "int64"), s.Column("tags", s.List(TEXT), "object")))
    with pytest.raises(InvalidPayload) as caught:
        decode_csv(codec_of(kind), b"a,tags\n1,x\n")
    assert (caught.value.code, [problem.path for problem in caught.value.problems]) == (
        "payload.not-tabular",
        ["$.X.tags"],
    )


@pytest.mark.parametrize("kinds", [(WHOLE,), (s.Table((s.Column("a", WHOLE, "int64"),)),) * 2, (s.List(WHOLE), TEXT)])
def test_a_method_that_takes_no_single_table_takes_no_csv(kinds):
    with pytest.raises(InvalidPayload) as caught:
        decode_csv(codec_of(*kinds), b"a\n1\n")
    assert caught.value.code == "payload.not-tabular"


def test_parameters_with_defaults_keep_them():
    kind = s.Table((s.Column("a", WHOLE, "int64"),))
    method = s.Method((s.Parameter("X", kind), s.Parameter("k", WHOLE, required=False, default=3)), kind)
    arguments = decode_csv(MethodCodec(method, {}), b"a\n1\n")
    assert (len(arguments.positional), dict(arguments.keyword)) == (1, {})


def test_unknown_columns_may_be_ignored():
    kind = s.Table((s.Column("a", WHOLE, "int64"),))
    codec = MethodCodec(s.Method((s.Parameter("X", kind),), kind), {}, extra_columns="ignore")
    assert decode_csv(codec, b"a,b\n1,x\n").positional[0].to_dict("list") == {"a": [1]}


def test_choices_of_several_types_are_told_apart_where_that_is_possible():
    kind = s.Choice(("a", 1, True))
    assert [field_reader(kind)(text) for text in ("a", "1", "true", "b")] == ["a", 1, True, "b"]
    assert field_reader(s.Choice(("1", 1))) is None
    assert field_reader(s.Choice((1, 2)))("2") == 2


def test_numbers_are_read_as_json_reads_them():
    assert [field_reader(WHOLE)(text) for text in ("1", "-0", "1.0", "01", "+1", "1_0", " 1", "")] == [
        1, 0, 1.0, "01", "+1", "1_0", " 1", "",
    ]  # fmt: skip
    assert field_reader(WHOLE)("9" * 5000) == "9" * 5000
    assert field_reader(s.Scalar("float64"))("1e400") == float("inf")


@pytest.mark.parametrize(
    ("kind", "answer", "written"),
    [
        (s.List(s.Scalar("float64")), [1.5, 2.0], "value\r\n1.5\r\n2.0\r\n"),
        (s.List(s.Scalar("string", nullable=True)), ["", None], 'value\r\n""\r\n\r\n'),
        (s.Tensor("float64", (None,), batch=0), np.array([1.5]), "value\r\n1.5\r\n"),
        (s.Tensor("int64", (None, 2), batch=0), np.array([[1, 2]]), "0,1\r\n1,2\r\n"),
        (s.Series(WHOLE, "int64", "y"), pd.Series([1], name="y"), "y\r\n1\r\n"),
        (s.List(s.Record((s.Field("a", WHOLE), s.Field("b", TEXT, required=False)))), [{"a": 1}], "a,b\r\n1,\r\n"),
    ],
)
def test_answers_that_are_tabular_are_written(kind, answer, written):
    assert encode_csv(codec_of(WHOLE, returns=kind), answer).decode() == written


def test_a_series_with_an_index_is_written_with_it():
    series = pd.Series([1, 2], index=pd.Index(["x", "y"], name="value"))
    codec = codec_of(WHOLE, returns=type_of(series))
    assert encode_csv(codec, series).decode() == "value,value#2\r\nx,1\r\ny,2\r\n"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (WHOLE, 1),
        (s.List(s.List(WHOLE)), [[1]]),
        (s.Table((s.Column("a", s.List(WHOLE), "object"),)), pd.DataFrame({"a": [[1]]})),
        (s.Tensor("int64", (1, 1, 1)), np.zeros((1, 1, 1), dtype=int)),
    ],
)
def test_answers_that_are_not_tabular_are_refused(kind, answer):
    with pytest.raises(InvalidAnswer) as caught:
        encode_csv(codec_of(WHOLE, returns=kind), answer)
    assert caught.value.code == "answer.not-tabular"


@SETTINGS
@given(st.data())
def test_json_and_csv_do_not_disagree(data):
    strategies.load()
    kind = data.draw(strategies.REGISTRY[s.Table, s.Flavor.PANDAS].types(st.nothing()), label="type")
    kind = dataclasses.replace(kind, columns=tuple(c for c in kind.columns if field_reader(c.type)))
    assume(not all(isinstance(c.key, list) for c in kind.columns))
    frame = data.draw(strategies.values(kind), label="table")
    codec = codec_of(kind)
    body = parse_json(dump_json(codec.encode_arguments({"X": frame})))
    assert strategies.same(codec.decode(body).positional[0], frame)
    assert strategies.same(decode_csv(codec, encode_csv(codec, frame)).positional[0], frame)


FIELDS = st.none() | st.sampled_from(
    ["1", "3.7", "-0", "true", "2020-01-01T00:00:00", "P0DT0H0M1S", "NaN", "", "a", "1e400"]
)


@SETTINGS
@given(st.data())
def test_json_and_csv_admit_the_same(data):
    kind = data.draw(
        st.sampled_from(
            [
                (WHOLE, "int64"),
                (s.Scalar("int8", nullable=True), "Int8"),
                (s.Scalar("float64", nullable=True, non_finite=True), "float64"),
                (s.Scalar("bool"), "bool"),
                (TEXT, "object"),
                (s.Scalar("datetime", unit="us"), "datetime64[us]"),
                (s.Scalar("timedelta", unit="ns"), "timedelta64[ns]"),
                (s.Choice(("a", "1")), "category"),
                (s.Choice((1, 2)), "category"),
            ]
        )
    )
    codec = codec_of(s.Table((s.Column("c", *kind),)))
    fields = data.draw(st.lists(FIELDS, min_size=1, max_size=3))
    raw = write_sheet(["c"], [[field] for field in fields])
    read = field_reader(kind[0])
    rows = [{"c": None if field is None else read(field)} for field in fields]
    roads = []
    for decode in (lambda: decode_csv(codec, raw), lambda: codec.decode({"X": rows})):
        try:
            roads.append(decode().positional[0])
        except InvalidPayload as refused:
            roads.append([(problem.path, problem.code) for problem in refused.problems])
    assert strategies.same(*roads)
