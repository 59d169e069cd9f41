"""Types that the user gives to columns of a file of samples: ``age=int64?``, ``when=datetime``, ``zip=string``.

A CSV says of no column what it is: the library guesses, integers with gaps become floats, postal codes lose their
zeros. What is given here is held against every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions
from model_envelope.runtime.codec.csv import field_reader
from model_envelope.runtime.codec.tables.columns.column import ColumnCodec, kind_of_dtype
from model_envelope.runtime.codec.tables.columns.dtypes import dtype_of, is_arrow
from model_envelope.runtime.errors import EnvelopeError, InvalidSignature, Problem, Problems

NULLABLE = "model_envelope.nullable"
"""Where a frame says which of its columns admit null, whatever its rows show: a name in ``DataFrame.attrs``."""

_OBJECTS = frozenset({"date", "time", "decimal", "uuid", "bytes"})
_HINT = (
    "name a dtype of pandas or a type of signatures, such as int64, int64?, float64, bool, string, category, datetime"
)


def untyped(path: str, problems: Sequence[Problem]) -> InvalidSignature:
    """Make the error for the columns of a table whose values have no type."""
    columns = "one column" if len(problems) == 1 else f"{len(problems)} columns"
    return InvalidSignature(
        f"{columns} of {path} {'has' if len(problems) == 1 else 'have'} no type that a signature can say",
        code=problems[0].code,
        problems=problems,
        hint="convert before the samples are given, so that each column has one plain type",
    )


@dataclass(frozen=True)
class Override:
    """One given type. ``nullable`` is its question mark."""

    column: str
    type: str
    nullable: bool


def parse_override(text: str) -> Override:
    """Read ``NAME=TYPE`` or ``NAME=TYPE?``.

    Raises :class:`InvalidSignature` (``samples.column-type``) for anything else.
    """
    column, sign, name = text.partition("=")
    if not sign or not column or not name.strip("? "):
        raise InvalidSignature(f"`{text}` gives no type to a column", code="samples.column-type", hint=_HINT)
    return Override(column, name.strip().removesuffix("?"), nullable=name.strip().endswith("?"))


def apply_overrides(frame: Any, overrides: Sequence[Override], *, texts: bool) -> Any:
    """Give columns of a frame their types; ``texts`` says that they hold the text of a CSV, null where it is empty.

    Raises :class:`InvalidSignature` (``samples.column-type``) with every value that is not of its type.
    """
    problems: list[Problem] = []
    missing = [item.column for item in overrides if item.column not in frame.columns]
    if missing:
        raise InvalidSignature(
            f"there is no column {', '.join(f'`{name}`' for name in missing)} in the samples",
            code="samples.column-type",
            hint=f"it has {', '.join(f'`{name}`' for name in list(map(str, frame.columns))[:20])}",
        )
    for item in overrides:
        try:
            array = _converted(frame[item.column], item, texts=texts)
        except EnvelopeError as error:
            problems.extend(error.problems)
            continue
        if not item.nullable and bool(array.isna().any()):
            row = int(array.isna().argmax())
            problems.append(
                Problem(f"$[{row}].{item.column}", "null", f"{item.type} (`{item.type}?` admits null)", _CODE)
            )
            continue
        frame[item.column] = array
    if problems:
        raise InvalidSignature(
            Problems(items=problems).summary("the samples are not of the types that were given"),
            code=_CODE,
            problems=problems[:100],
            hint="give another type, or mend the file",
        )
    frame.attrs[NULLABLE] = [item.column for item in overrides if item.nullable]
    return frame


_CODE = "samples.column-type"


def _converted(series: Any, item: Override, *, texts: bool) -> Any:
    import pandas as pd

    if item.type == "category":
        return series.astype("category")
    kind, storage = _target(item)
    if isinstance(kind, s.Scalar) and kind.dtype == "datetime" and texts:
        return _moments(series, item, storage)
    if not texts and storage not in {"object", "object[nan]"}:
        try:
            return series.astype(dtype_of(storage))
        except (TypeError, ValueError, OverflowError) as error:
            raise _wrong(item, f"$.{item.column}", f"values of {series.dtype}", f"{item.type} ({error})") from None
    read = field_reader(kind) if texts else None
    values = [None if null else value for value, null in zip(series.tolist(), series.isna().tolist(), strict=True)]
    if read is not None:
        values = [None if value is None else read(value) for value in values]
    problems = Problems()
    codec = ColumnCodec(s.with_nullable(kind, nullable=item.nullable), storage, Definitions())
    built = codec.decode(values, lambda at: f"$[{at}].{item.column}", problems)
    if problems:
        raise InvalidSignature("values are of another type", code=_CODE, problems=problems.items)
    return pd.Series(built, dtype=built.dtype, index=series.index)


def _moments(series: Any, item: Override, storage: str) -> Any:
    """Read dates and times as ISO 8601; a date alone is its midnight."""
    import pandas as pd

    dtype = dtype_of(storage)
    zoned = getattr(dtype, "tz", None) is not None
    found = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=zoned)
    bad = (found.isna() & ~series.isna()).tolist()
    if any(bad):
        at = bad.index(True)
        raise _wrong(item, f"$[{at}].{item.column}", f'the string "{series.iloc[at]}"', "a date and time (ISO 8601)")
    try:
        return found.astype(dtype)
    except (TypeError, ValueError) as error:
        raise _wrong(item, f"$.{item.column}", "dates and times", f"{item.type} ({error})") from None


def _target(item: Override) -> tuple[s.Type, str]:
    """Give type and dtype for the name of either."""
    import pandas as pd

    name = item.type
    masked = name.replace("uint", "UInt").replace("int", "Int") if name.startswith(("int", "uint")) else name
    if item.nullable and masked != name:
        name = masked
    elif name in {"bool", "boolean"}:
        name = "boolean" if item.nullable or name == "boolean" else "bool"
    elif name in {"str", "string"}:
        usual = str(pd.Series(["a"]).dtype)
        return s.Scalar("string"), "string" if name == "string" and item.nullable else usual
    elif name == "datetime":
        name = str(pd.to_datetime(pd.Series(["2020-01-01T00:00:00"])).dtype)
    elif name == "timedelta":
        name = f"timedelta64[{pd.to_datetime(pd.Series(['2020-01-01'])).dtype.name[11:-1]}]"
    elif name in _OBJECTS:
        return s.Scalar(name), "object"
    try:
        kind = kind_of_dtype(dtype_of(name))
    except (EnvelopeError, TypeError, ValueError, AttributeError):
        kind = None
    if kind is None or is_arrow(name):
        raise _wrong(item, f"$.{item.column}", f"the type `{item.type}`", "a type that a column of a file can have")
    return kind, name


def _wrong(item: Override, path: str, found: str, expected: str) -> InvalidSignature:
    return InvalidSignature(
        f"`{item.column}` is given a type that it does not have",
        code=_CODE,
        problems=[Problem(path, found, expected, _CODE)],
        hint=_HINT,
    )
