"""Classes that the model's own code registers."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import model_envelope as me
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import codec_for
from model_envelope.runtime.errors import InvalidSignature, Problems
from model_envelope.runtime.registry import registration_of


class Money:
    def __init__(self, amount, currency):
        self.amount, self.currency = amount, currency


class Unheard:
    pass


FIELDS = {"amount": Decimal, "currency": str}
assert me.register_type(Money, FIELDS) is Money
KIND = s.Record(
    (s.Field("amount", s.Scalar("decimal")), s.Field("currency", s.Scalar("string"))),
    cls=f"{__name__}:Money",
    style=s.Style.REGISTERED,
)


def test_instances_come_and_go_as_objects_of_their_fields():
    problems = Problems()
    codec = codec_for(KIND, {})
    made = codec.decode({"amount": "1.50", "currency": "EUR"}, "$", problems)
    assert (type(made), made.amount, made.currency) == (Money, Decimal("1.50"), "EUR")
    assert codec.encode(made, "$", problems) == {"amount": "1.50", "currency": "EUR"}
    assert not problems


def test_a_subclass_is_another_class():
    class Coin(Money):
        pass

    problems = Problems()
    codec_for(KIND, {}).encode(Coin(Decimal(1), "EUR"), "$", problems)
    assert problems.items[0].expected == f"a {KIND.cls}"
    assert registration_of(Coin) is None


def test_what_nobody_registered_says_where_the_call_belongs():
    kind = s.Record((s.Field("x", s.Scalar("int64")),), cls=f"{__name__}:Unheard", style=s.Style.REGISTERED)
    with pytest.raises(InvalidSignature, match="nothing has registered it") as caught:
        codec_for(kind, {}).decode({"x": 1}, "$", Problems())
    assert "in the module that defines the model" in caught.value.hint


def test_registering_the_same_again_is_fine_and_another_recipe_is_not():
    me.register_type(Money, dict(FIELDS))
    with pytest.raises(InvalidSignature, match="registered twice: with the fields amount: Decimal, currency: str"):
        me.register_type(Money, {"amount": int})


@pytest.mark.parametrize(
    ("cls", "fields", "more", "what"),
    [
        ("Money", FIELDS, {}, "'Money' is no class"),
        (Unheard, {}, {}, "the fields of `Unheard` are {}"),
        (Unheard, ["a"], {}, r"are \['a'\]"),
        (Unheard, {"two words": int}, {}, "have the names 'two words'"),
        (Unheard, {"x": int}, {"make": 1}, "`make` of `Unheard` is 1"),
        (Unheard, {"x": int}, {"read": "x"}, "`read` of `Unheard` is 'x'"),
    ],
)
def test_what_makes_no_sense_is_refused(cls, fields, more, what):
    with pytest.raises(InvalidSignature, match=what) as caught:
        me.register_type(cls, fields, **more)
    assert caught.value.code == "type.malformed"
    assert registration_of(Unheard) is None


def test_registering_needs_nothing_but_the_runtime(tmp_path):
    package = Path(me.__file__).parent
    (tmp_path / "model_envelope").mkdir()
    for name in ("__init__.py", "runtime"):
        (tmp_path / "model_envelope" / name).symlink_to(package / name)
    script = "import model_envelope as me\nclass A: pass\nme.register_type(A, {'x': int})\nprint(me.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path))
