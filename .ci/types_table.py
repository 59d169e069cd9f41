"""Write the table of all types, and how each looks in JSON, into ARCHITECTURE.md: `make types`.

Every cell comes from the code: the type from what inference finds in the value, the JSON from the codec. With `--check`
nothing is written, and a table that is out of date ends it with 1.
"""

import argparse
import enum
import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp

from model_envelope.foundation import spelling
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import codec_for
from model_envelope.runtime.errors import Problems
from model_envelope.runtime.registry import register_type
from model_envelope.runtime.signature_document import TYPES

PAGE = Path(__file__).parent.parent / "ARCHITECTURE.md"
BEGIN, END = "<!-- types: written by `make types` -->\n", "<!-- end of types -->\n"


class Color(enum.Enum):
    """An enum."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    """A dataclass."""

    x: float
    y: float = 0.0


class Range:
    """A plain class that keeps what it is made of."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high


class Ratio:
    """A class that is registered."""

    def __init__(self, text: str) -> None:
        self.text = text


register_type(
    Ratio,
    {"over": int, "under": int},
    make=lambda over, under: Ratio(f"{over}/{under}"),
    read=lambda ratio: dict(zip(("over", "under"), map(int, ratio.text.split("/")), strict=True)),
)


@dataclass(frozen=True)
class Example:
    """A value as it is written in Python; ``kind`` where no value tells the type."""

    shown: str
    value: Any
    kind: s.Type | None = None
    definitions: Mapping[str, s.Type] = field(default_factory=dict)


FRAME = {"age": [30, 41], "city": ["Graz", "Linz"]}
NODE = s.Record((s.Field("value", s.Scalar("int64")), s.Field("next", s.Reference("Node", nullable=True))))


def numbers() -> Iterator[Example]:
    """Give a value of each dtype of NumPy."""
    for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float16", "float32"):
        yield Example(f"np.{name}(5)", np.dtype(name).type(5))
    yield Example("np.complex64(1+2j)", np.complex64(1 + 2j), s.Scalar("complex64"))
    yield Example("1+2j", 1 + 2j, s.Scalar("complex128"))


def examples() -> list[Example]:
    """Give a value of every type."""
    return [
        Example("None", None),
        Example("True", True),
        Example("5", 5),
        Example("2.5", 2.5),
        *numbers(),
        Example("float('nan')", float("nan"), s.Scalar("float64", non_finite=True)),
        Example('Decimal("1.10")', Decimal("1.10")),
        Example('"text"', "text"),
        Example('b"bytes"', b"bytes"),
        Example("date(2026, 1, 31)", date(2026, 1, 31)),
        Example("time(12, 30)", time(12, 30)),
        Example("datetime(2026, 1, 31, 12, 30)", datetime(2026, 1, 31, 12, 30)),  # noqa: DTZ001
        Example("datetime(2026, 1, 31, 12, 30, tzinfo=UTC)", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        Example("timedelta(seconds=90)", timedelta(seconds=90)),
        Example("UUID(...)", uuid.UUID(int=1)),
        Example('pd.Period("2026-01")', pd.Period("2026-01"), s.Scalar("period", unit="M")),
        Example("Color.RED", Color.RED),
        Example('Literal["a", "b"]', "a", s.Choice(("a", "b"))),
        Example("[1, 2]", [1, 2]),
        Example("(1, 'a')", (1, "a")),
        Example("{1, 2}", {1, 2}),
        Example("dict[str, float]", {"a": 1.5}, s.Map(s.Scalar("string"), s.Scalar("float64"))),
        Example("{1: 'a'}", {1: "a"}),
        Example("{'a': 1, 'b': 'x'}", {"a": 1, "b": "x"}),
        Example("Point(1.0, 2.0)", Point(1.0, 2.0)),
        Example("Range(1, 9)", Range(1, 9)),
        Example('Ratio("3/4"), registered', Ratio("3/4")),
        Example("int | str", "a", s.Union((s.Scalar("int64"), s.Scalar("string")))),
        Example("date | str", date(2026, 1, 31), s.Union((s.Scalar("date"), s.Scalar("string")), tags=("date", "str"))),
        Example("Node(1, Node(2))", {"value": 1, "next": {"value": 2, "next": None}}, NODE, {"Node": NODE}),
        Example("Any", {"free": [1, None]}, s.Any()),
        Example("pd.DataFrame(...)", pd.DataFrame(FRAME)),
        Example("pl.DataFrame(...)", pl.DataFrame(FRAME)),
        Example("pa.table(...)", pa.table(FRAME)),
        Example("np.array([(30, 'Graz')], dtype=...)", np.array([(30, "Graz")], [("age", "i8"), ("city", "U8")])),
        Example("pd.Series([1, None], dtype='Int64')", pd.Series([1, None], dtype="Int64")),
        Example("pd.Series(['a'], dtype='category')", pd.Series(["a"], dtype="category")),
        Example("pd.Series(pd.interval_range(0, 2))", pd.Series(pd.interval_range(0, 2))),
        Example("pl.Series([1.5, None])", pl.Series([1.5, None])),
        Example("np.array([[1.5, 2.5]])", np.array([[1.5, 2.5]])),
        Example("sp.csr_matrix([[0, 1]])", sp.csr_matrix(np.array([[0, 1]]))),
    ]


def row(example: Example) -> tuple[s.Type, str]:
    """Write a row of the table, and give the type that it is about."""
    kind = example.kind if example.kind is not None else type_of(example.value)
    problems = Problems()
    written = codec_for(kind, example.definitions).encode(example.value, "$", problems)
    if problems:
        sys.exit(f"{example.shown} cannot be written: {problems.items[0]}")
    cells = [f"`{example.shown}`", f"`{kind.kind}`", spelling.kind(kind), f"`{json.dumps(written)}`"]
    return kind, "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table() -> str:
    """Write the table; a type of the grammar without a row ends it."""
    rows = [row(example) for example in examples()]
    dtypes = {kind.dtype for kind, _ in rows if isinstance(kind, s.Scalar)}
    kinds = {kind.kind for kind, _ in rows} | {"reference"}  # inside Node
    if missing := sorted((s.SCALARS.keys() - dtypes) | (TYPES.keys() - kinds)):
        sys.exit(f"no example of {', '.join(missing)}: add one to {Path(__file__).name}")
    head = "| in Python | type | in a few words | in JSON |\n|---|---|---|---|\n"
    return head + "".join(f"{line}\n" for _, line in rows)


def main() -> int:
    """Write the page, or hold it against the code."""
    parser = argparse.ArgumentParser(description="Write the table of types into ARCHITECTURE.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where the table is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{PAGE} has no place for the table: {BEGIN.strip()} and {END.strip()}")
    new = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
