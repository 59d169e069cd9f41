"""The bytes of requests to Python arguments: the fast road for tables in rows, and the plain one for everything else.

Where msgspec is installed it reads the rows of a table straight into records of the columns' JSON types, which saves a
dict for every row and looking at the types of every column. That road takes only what the plain road accepts, and gives
the same arguments (a property test holds the two together); whatever it does not take the plain road reads again, and
says what is wrong with it.

Several requests of one method can be read as one whose rows are those of all: what comes of it is what one body with
all their rows gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arguments import Arguments, MethodCodec
from model_envelope.runtime.codec.merging import MergedArguments, RowParameter, row_parameter_of
from model_envelope.runtime.codec.text import DEEPEST, fast_parser, nests_deeper, parse_json, write_json
from model_envelope.runtime.errors import InvalidPayload, Problems

_VARIADIC = frozenset({s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD})


def decode_request(codec: MethodCodec, raw: bytes) -> Arguments:
    """Decode the bytes of a request body: ``codec.decode(parse_json(raw))``, and faster where that is possible.

    Raises :class:`InvalidPayload` as these two do.
    """
    road = _road(codec)
    arguments = road.decode(raw) if road.decoder else None
    return codec.decode(parse_json(raw)) if arguments is None else arguments


def merge_requests(codec: MethodCodec, raws: Sequence[bytes]) -> MergedArguments | None:
    """Decode several bodies as one request that has the rows of all, in their order.

    None where that cannot be: one of them is not in order or has no rows, rows do not come as a JSON array in each, or
    parameters other than the rows differ. Each has to be decoded by itself then.
    """
    rows = row_parameter_of(codec)
    return None if rows is None else _road(codec).merge(raws, rows)


class Road:
    """The fast road of one method. ``decoder`` is None where it has none."""

    def __init__(self, codec: MethodCodec) -> None:
        self.codec = codec
        self.decoder: Callable[[bytes], Any] | None = None
        self.rows: dict[str, tuple[str, ...]] = {}
        self.places: dict[str, str] = {}
        self.deep = False
        if fast_parser() is not None and all(item.kind not in _VARIADIC for item in codec.method.parameters):
            try:
                self._plan()
            except ValueError:
                self.decoder = None  # records have no fields whose names JSON has to escape

    def _plan(self) -> None:
        import msgspec

        fields: list[Any] = []
        for at, (name, (parameter, codec)) in enumerate(self.codec.parameters.items()):
            self.places[f"p{at}"] = name
            hint: Any = Any
            if isinstance(parameter.type, s.Table) and parameter.type.flavor is s.Flavor.PANDAS and _is_table(codec):
                hint, self.rows[name] = self._row(codec)
            else:
                self.deep = True
            fields.append((f"p{at}", hint) if parameter.required else (f"p{at}", hint, msgspec.UNSET))
        if self.rows:
            # Struct wants required fields first; the names say which is which.
            fields.sort(key=len)
            body = msgspec.defstruct("Body", fields, rename=self.places, forbid_unknown_fields=True)
            self.decoder = msgspec.json.Decoder(body).decode
            self.unset = msgspec.UNSET
            self.astuple = msgspec.structs.astuple

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
        values = self._read(raw)
        return None if values is None else self._build(values)

    def merge(self, raws: Sequence[bytes], rows: RowParameter) -> MergedArguments | None:
        """Decode several requests that are in order as one; None for any others."""
        bodies = []
        for raw in raws:
            body = self._read(raw) if self.decoder else _object(raw)
            if body is None or not isinstance(body.get(rows.name), list):
                return None
            bodies.append(body)
        if not bodies or not _alike(bodies, rows.name):
            return None
        given = [body[rows.name] for body in bodies]
        counts = tuple(map(rows.count_nested, given))
        if not all(counts):
            return None
        whole = {**bodies[0], rows.name: rows.join_nested(given)}
        arguments = self._build(whole) if self.decoder else _decoded(self.codec, whole)
        return None if arguments is None else MergedArguments(arguments, counts)

    def _read(self, raw: bytes) -> dict[str, Any] | None:
        """Parse a body to what each parameter has; None for one that is not in order, and without such a road."""
        if self.decoder is None or (self.deep and nests_deeper(raw, DEEPEST)):
            return None
        try:
            body = self.decoder(raw)
        except (ValueError, RecursionError):
            return None
        return {name: value for place, name in self.places.items() if (value := getattr(body, place)) is not self.unset}

    def _build(self, values: Mapping[str, Any]) -> Arguments | None:
        problems = Problems(limit=1)
        found: dict[str, Any] = {}
        for name, value in values.items():
            codec: Any = self.codec.parameters[name][1]
            if name in self.rows:
                columns = self.rows[name]
                taken = zip(*map(self.astuple, value), strict=True) if value else ((),) * len(columns)
                found[name] = codec.build_known(dict(zip(columns, taken, strict=True)))
                if found[name] is None:
                    return None
            else:
                found[name] = codec.decode(value, "$", problems)
        return None if problems else self.codec.arrange(found)


def _is_table(codec: Any) -> bool:
    return hasattr(codec, "build_known")


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        body = parse_json(raw)
    except InvalidPayload:
        return None
    return body if isinstance(body, dict) else None


def _decoded(codec: MethodCodec, body: dict[str, Any]) -> Arguments | None:
    try:
        return codec.decode(body)
    except InvalidPayload:
        return None


def _alike(bodies: Sequence[Mapping[str, Any]], rows: str) -> bool:
    """Tell whether bodies have the same JSON in everything but their rows; 1 and 1.0 are not the same."""
    if all(len(body) == 1 for body in bodies):
        return True
    first, *others = ({name: value for name, value in body.items() if name != rows} for body in bodies)
    if any(other.keys() != first.keys() for other in others):
        return False
    text = write_json(first)
    return all(write_json({name: other[name] for name in first}) == text for other in others)


def _road(codec: MethodCodec) -> Road:
    road = codec.made.get("road")
    if road is None:
        road = codec.made["road"] = Road(codec)
    return road
