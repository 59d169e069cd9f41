"""The bytes of a request to Python arguments: the fast road for tables in rows, and the plain one for everything else.

Where msgspec is installed it reads the rows of a table straight into records of the columns' JSON types, which saves a
dict for every row and looking at the types of every column. That road takes only what the plain road accepts, and gives
the same arguments (a property test holds the two together); whatever it does not take the plain road reads again, and
says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import Arguments, MethodCodec, arrange
from model_envelope.runtime.codec.text import DEEPEST, fast_parser, nests_deeper, parse_json
from model_envelope.runtime.errors import Problems

_VARIADIC = frozenset({s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD})


def decode_request(codec: MethodCodec, raw: bytes) -> Arguments:
    """Decode the bytes of a request body: ``codec.decode(parse_json(raw))``, and faster where that is possible.

    Raises :class:`InvalidPayload` as these two do.
    """
    road = _roads.get(codec)
    if road is None:
        road = _roads[codec] = Road(codec)
    arguments = road.decode(raw)
    return codec.decode(parse_json(raw)) if arguments is None else arguments


class Road:
    """The fast road of one method. ``decoder`` is None where it has none."""

    def __init__(self, codec: MethodCodec) -> None:
        self.codec = codec
        self.decoder: Callable[[bytes], Any] | None = None
        self.rows: dict[str, tuple[str, ...]] = {}
        self.deep = False
        if fast_parser() is not None and all(item.kind not in _VARIADIC for item in codec.method.parameters):
            self._plan()

    def _plan(self) -> None:
        import msgspec

        fields: list[Any] = []
        names: dict[str, str] = {}
        for at, (name, (parameter, codec)) in enumerate(self.codec.parameters.items()):
            names[f"p{at}"] = name
            hint: Any = Any
            if isinstance(parameter.type, s.Table) and parameter.type.flavor is s.Flavor.PANDAS and _is_table(codec):
                hint, self.rows[name] = self._row(codec)
            else:
                self.deep = True
            fields.append((f"p{at}", hint) if parameter.required else (f"p{at}", hint, msgspec.UNSET))
        if self.rows:
            # Struct wants required fields first; the names say which is which.
            fields.sort(key=len)
            body = msgspec.defstruct("Body", fields, rename=names, forbid_unknown_fields=True)
            self.decoder = msgspec.json.Decoder(body).decode
            self.unset = msgspec.UNSET
            self.astuple = msgspec.structs.astuple
            self.places = names

    def _row(self, codec: Any) -> tuple[Any, tuple[str, ...]]:
        import msgspec

        hints = {name: column.hint for name, column in codec.columns.items()}
        self.deep |= Any in hints.values()
        row = msgspec.defstruct(
            "Row",
            [(f"c{at}", hint) for at, hint in enumerate(hints.values())],
            rename={f"c{at}": name for at, name in enumerate(hints)},
            forbid_unknown_fields=not self.codec.definitions.ignore_columns,
            gc=False,
        )
        return list[row], tuple(hints)  # type: ignore[valid-type]

    def decode(self, raw: bytes) -> Arguments | None:
        """Decode a request that is in order; None for any other, and where there is no such road."""
        if self.decoder is None or (self.deep and nests_deeper(raw, DEEPEST)):
            return None
        try:
            body = self.decoder(raw)
        except (ValueError, RecursionError):
            return None
        problems = Problems(limit=1)
        found: dict[str, Any] = {}
        for place, name in self.places.items():
            value = getattr(body, place)
            if value is self.unset:
                continue
            codec: Any = self.codec.parameters[name][1]
            if name in self.rows:
                columns = self.rows[name]
                taken = zip(*map(self.astuple, value), strict=True) if value else ((),) * len(columns)
                arrays = dict(zip(columns, taken, strict=True))
                found[name] = codec.build_known(arrays)
                if found[name] is None:
                    return None
            else:
                found[name] = codec.decode(value, "$", problems)
        return None if problems else arrange(self.codec.method.parameters, found, self.codec.definitions)


def _is_table(codec: Any) -> bool:
    return hasattr(codec, "build_known")


_roads: WeakKeyDictionary[MethodCodec, Road] = WeakKeyDictionary()
