"""What the OpenAPI document says of CSV is read: every text of its pattern is a table that the signature admits."""

import jsonschema
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec
from model_envelope.runtime.codec.csv import decode_csv
from model_envelope.runtime.codec.csv_schema import csv_pattern

TABLE = s.Table(
    (
        s.Column("a.b", s.Scalar("float64", nullable=True), "float64"),
        s.Column('the "size"', s.Scalar("int8"), "int8"),
        s.Column("city", s.Choice(("Graz", "St. Veit, Glan")), "category"),
        s.Column("since", s.Scalar("datetime", unit="ns", timezone="UTC"), "datetime64[ns, UTC]"),
        s.Column("day", s.Scalar("date", nullable=True), "object"),
        s.Column("member", s.Scalar("bool"), "bool"),
    )
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.from_regex(csv_pattern(TABLE), fullmatch=False))
def test_every_text_of_the_pattern_is_read(text):
    assume(text.endswith("\r\n"))  # `$` of Python admits a line feed more
    codec = MethodCodec(s.Method((s.Parameter("x", TABLE),), s.Any()), {})
    assert len(decode_csv(codec, text.encode()).positional[0]) == text.count("\r\n") - 1


def test_a_usual_table_matches_the_pattern():
    text = 'a.b,"the ""size""",city,since,day,member\r\n1.5,7,"St. Veit, Glan",2026-01-28T10:00:00Z,2026-01-28,true\r\n'
    jsonschema.Draft202012Validator({"pattern": csv_pattern(TABLE)}).validate(text)


def test_a_table_whose_fields_no_expression_can_say_has_none():
    assert csv_pattern(s.Table((s.Column("p", s.Scalar("period", unit="M"), "period[M]"),))) is None
