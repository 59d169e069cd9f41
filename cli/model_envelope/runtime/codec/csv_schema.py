"""What a schema can say of CSV: a regular expression whose every text is a table that the signature admits.

It admits more: columns in another order, longer numbers, quoted fields. The expression is for programs that make up
requests, and for people who wonder what a line looks like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.csv import quoted
from model_envelope.runtime.codec.values.scalars import INTEGERS, LARGEST

_WORD = "[A-Za-z0-9]{1,3}"
_DAY = r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_CLOCK = "[01][0-9]:[0-5][0-9]:[0-5][0-9]"
_HEX = "[0-9a-f]"

_FIELDS: Mapping[str, str] = {
    **{name: "-?[1-9]?[0-9]" if least else "[1-9]?[0-9]" for name, (least, _) in INTEGERS.items()},
    **dict.fromkeys(LARGEST, r"-?[1-9]?[0-9](\.[0-9]{1,3})?"),
    "bool": "(true|false)",
    "string": _WORD,
    "bytes": "([A-Za-z0-9]{4}){1,3}",
    "decimal": "[0-9]",
    "date": _DAY,
    "time": _CLOCK,
    "timedelta": "P[0-9]DT[0-9]H[0-9]M[0-9]S",
    "uuid": f"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}",
}
_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}]")
_LONGEST = 4000


def csv_pattern(kind: s.Table) -> str | None:
    """Give the expression for a table in CSV; None for one that has no short one."""
    columns = (*kind.index, *kind.columns)
    fields = [_field(column.type) for column in columns]
    if None in fields:
        return None
    header = ",".join(_escaped(quoted(column.name)) for column in columns)
    pattern = rf"^{header}\r\n({','.join(map(str, fields))}\r\n)*$"
    return pattern if len(pattern) <= _LONGEST else None


def _field(kind: s.Type) -> str | None:
    found = _of_choice(kind.values) if isinstance(kind, s.Choice) else None
    if isinstance(kind, s.Scalar):
        found = f"{_DAY}T{_CLOCK}{'' if kind.timezone is None else 'Z'}" if kind.dtype == "datetime" else None
        found = found or _FIELDS.get(kind.dtype)
    return found and (f"({found})?" if kind.nullable else found)


def _of_choice(values: tuple[Any, ...]) -> str | None:
    if {type(value) for value in values} != {str}:
        return None
    return f"({'|'.join(_escaped(quoted(value)) for value in values)})"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
