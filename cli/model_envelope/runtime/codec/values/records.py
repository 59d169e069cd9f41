"""Records: objects with named fields, as dicts or as instances of their classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.base import Definitions, codec_for, describe, under
from model_envelope.runtime.codec.values.choices import class_named
from model_envelope.runtime.errors import EnvelopeError, InvalidSignature, Problems
from model_envelope.runtime.registry import registration_of

ABSENT = object()
"""What an instance has where it has nothing."""


class RecordCodec:
    """An object with named fields."""

    def __init__(self, kind: s.Record, definitions: Definitions) -> None:
        self.kind = kind
        self.fields = {field.name: (field, codec_for(field.type, definitions)) for field in kind.fields}

    @cached_property
    def maker(self) -> Maker:
        """How instances of the class are made and read; the class is imported when it is first needed."""
        return maker_of(self.kind)

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Decode an object: missing, null and default are three things, and unknown fields are refused.

        A field that is missing and not required is left to the class, which has its own default.
        """
        if type(value) is not dict:
            problems.add(path, describe(value), "an object", "payload.null" if value is None else "payload.type")
            return None
        before = problems.count
        for name in sorted(value.keys() - self.fields.keys()):
            problems.add(under(path, name), "an unknown field", self._known(), "payload.unknown")
        found = {}
        for name, (field, codec) in self.fields.items():
            if name in value:
                found[name] = codec.decode(value[name], f"{path}.{name}", problems)
            elif field.required:
                problems.add(f"{path}.{name}", "nothing", "a value", "payload.missing")
        if problems.count > before:
            return None
        return self._make(found, path, problems)

    def _make(self, found: dict[str, Any], path: str, problems: Problems) -> Any:
        try:
            return self.maker.make(found)
        except (EnvelopeError, RecursionError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  a class may refuse its values in any way that it likes
            text = " ".join(str(error).split())[:200]
            expected = f"values that `{self.kind.cls}` accepts ({type(error).__name__}: {text})"
            problems.add(path, "values that belong to their types but not together", expected, "payload.refused")
            return None

    def encode(self, value: Any, path: str, problems: Problems) -> dict[str, Any] | None:
        """Encode a dict's items or an instance's fields."""
        maker = self.maker
        if not maker.admits(value):
            problems.add(path, describe(value), f"a {self.kind.cls or 'dict'}", "answer.type")
            return None
        found: dict[str, Any] = {}
        for name, (field, codec) in self.fields.items():
            item = maker.read(value, name)
            if item is not ABSENT:
                found[name] = codec.encode(item, f"{path}.{name}", problems)
            elif field.required:
                problems.add(f"{path}.{name}", "nothing", "a value", "answer.missing")
        if isinstance(value, Mapping):
            for name in sorted(map(str, value.keys() - self.fields.keys())):
                problems.add(under(path, name), "an unknown field", self._known(), "answer.unknown")
        return found

    def _known(self) -> str:
        return f"one of {', '.join(self.fields)}" if self.fields else "no fields"


class Maker:
    """Makes and reads instances of a class by keyword and by attribute, as named tuples are."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls

    def make(self, found: dict[str, Any]) -> Any:
        """Make an instance. Raises whatever the class raises."""
        return self.cls(**found)

    def read(self, value: Any, name: str) -> Any:
        """Read one field of an instance."""
        return getattr(value, name, ABSENT)

    def admits(self, value: Any) -> bool:
        """Tell whether a value is an instance."""
        return isinstance(value, self.cls)


class Plain(Maker):
    """A dict, one of its subclasses, or a class that takes keywords; a dict's items stand for its instances too."""

    def read(self, value: Any, name: str) -> Any:
        """Read an item or an attribute."""
        return value.get(name, ABSENT) if isinstance(value, Mapping) else super().read(value, name)

    def admits(self, value: Any) -> bool:
        """Admit any mapping."""
        return isinstance(value, Mapping) or super().admits(value)


class Dataclass(Maker):
    """A dataclass. A field that its constructor does not take is set afterwards."""

    def __init__(self, cls: Any) -> None:
        super().__init__(cls)
        self.late = {name for name, field in cls.__dataclass_fields__.items() if not field.init}

    def make(self, found: dict[str, Any]) -> Any:
        """Construct, then set what the constructor does not take."""
        made = self.cls(**{name: value for name, value in found.items() if name not in self.late})
        for name in self.late & found.keys():
            object.__setattr__(made, name, found[name])  # frozen ones as well
        return made


class Attrs(Maker):
    """A class of attrs. Its private attributes are taken by their alias, and so they are named."""

    def __init__(self, cls: Any) -> None:
        super().__init__(cls)
        self.names = {field.alias or field.name: field.name for field in cls.__attrs_attrs__}
        self.late = {field.alias or field.name for field in cls.__attrs_attrs__ if not field.init}

    def make(self, found: dict[str, Any]) -> Any:
        """Construct, then set what the constructor does not take."""
        made = self.cls(**{name: value for name, value in found.items() if name not in self.late})
        for name in self.late & found.keys():
            object.__setattr__(made, self.names[name], found[name])
        return made

    def read(self, value: Any, name: str) -> Any:
        """Read the attribute behind an alias."""
        return getattr(value, self.names.get(name, name), ABSENT)


class Pydantic(Maker):
    """A model of pydantic, named by alias. It is constructed, so that its own validators have their say."""

    def __init__(self, cls: Any) -> None:
        super().__init__(cls)
        fields = getattr(cls, "model_fields", None)
        self.names = {alias_of(field, name): name for name, field in (fields or cls.__fields__).items()}

    def read(self, value: Any, name: str) -> Any:
        """Read the attribute behind an alias."""
        return getattr(value, self.names.get(name, name), ABSENT)


def alias_of(field: Any, name: str) -> str:
    """Give the name by which a field of pydantic is set: its alias for validation, its alias, or its own name."""
    chosen = getattr(field, "validation_alias", None) or field.alias
    first = getattr(chosen, "choices", [chosen])[0]
    return first if isinstance(first, str) else name


class Interval(Maker):
    """An interval of pandas; ``cls`` of the record may say which sides are closed."""

    def make(self, found: dict[str, Any]) -> Any:
        """Make an interval."""
        import pandas as pd

        return pd.Interval(**{"closed": self.cls or "right", **found})

    def admits(self, value: Any) -> bool:
        """Admit an interval that is closed on the same sides."""
        return type(value).__name__ == "Interval" and value.closed == (self.cls or value.closed)


class Registered(Maker):
    """A class of which :func:`register_type` says how it is made and read; its subclasses are other classes."""

    def __init__(self, cls: Any) -> None:
        super().__init__(cls)
        registration = registration_of(cls)
        if registration is None:
            raise InvalidSignature(
                f"the signature has the class `{cls.__module__}.{cls.__qualname__}`, and nothing has registered it",
                code="signature.not-registered",
                hint="call `model_envelope.register_type` in the module that defines the model, or in one that it "
                "imports: it must run wherever the model is loaded",
            )
        self.registration = registration

    def make(self, found: dict[str, Any]) -> Any:
        """Make an instance as it was registered."""
        return self.registration.made(found)

    def read(self, value: Any, name: str) -> Any:
        """Read one field as it was registered."""
        return self.registration.held(value).get(name, ABSENT)

    def admits(self, value: Any) -> bool:
        """Admit instances of the class itself."""
        return type(value) is self.cls


_MAKERS: Mapping[s.Style, Callable[[Any], Maker]] = {
    s.Style.DICT: Plain,
    s.Style.DATACLASS: Dataclass,
    s.Style.ATTRS: Attrs,
    s.Style.PYDANTIC: Pydantic,
    s.Style.NAMEDTUPLE: Maker,
    s.Style.OBJECT: Maker,
    s.Style.REGISTERED: Registered,
}


def maker_of(kind: s.Record) -> Maker:
    """Give what makes and reads the instances of a record; its class is imported."""
    if kind.style is s.Style.INTERVAL:
        return Interval(kind.cls)
    return _MAKERS[kind.style](class_named(kind.cls)) if kind.cls else Plain(dict)
