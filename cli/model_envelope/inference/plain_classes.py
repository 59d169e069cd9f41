"""Classes without a recipe of their fields: their constructor is one where its parameters are attributes too.

Where it is not, :func:`how_to_register` writes the few lines that make a class known.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any, Generic


def constructor_of(cls: type) -> Mapping[str, inspect.Parameter] | None:
    """Give the parameters of the author's own class whose constructor takes what its attributes hold, else None.

    A class that is derived from one of a library holds more than its own attributes.
    """
    if not all(is_own(base) or base in {object, Generic} for base in cls.__mro__):
        return None
    parameters = _parameters(cls)
    if not parameters or not all(_holds(cls, name) for name in parameters):
        return None
    return parameters


def made_anew(value: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Give what an instance holds of its constructor's parameters, and what one that is made of this holds.

    None where there is no such instance.
    """
    names = list(constructor_of(type(value)) or ())
    try:
        held = {name: getattr(value, name) for name in names}
        again = type(value)(**held)
        return held, {name: getattr(again, name) for name in names}
    except Exception:  # noqa: BLE001  a class may do anything when it is made, or lack an attribute
        return None


def is_own(cls: type) -> bool:
    """Tell whether a class is the author's own, and no library's."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    installed = "site-packages" in file or "dist-packages" in file
    return not installed and cls.__module__.partition(".")[0] not in sys.stdlib_module_names - {"__main__"}


def how_to_register(cls: type, value: Any = None) -> str:
    """Write the lines that register a class, with the attributes that a value of it has or its constructor takes."""
    held = {key: item for key, item in getattr(value, "__dict__", {}).items() if not key.startswith("_")}
    fields = {key: type(item).__qualname__ for key, item in held.items()}
    if not fields:
        fields = {name: _annotation_text(item.annotation) for name, item in (_parameters(cls) or {}).items()}
    fields = fields or {"...": "..."}
    written = ", ".join(f'"{name}": {kind}' for name, kind in list(fields.items())[:12])
    name = cls.__qualname__
    lines = [
        f"make `{name}` a dataclass, or register it in the module that defines the model or one that it imports:",
        "",
        "  import model_envelope as me",
        "",
        f"  me.register_type({name}, {{{written}}})",
    ]
    taken = _parameters(cls)
    if taken is None or set(taken) != set(fields):
        parts = ", ".join(f'"{field}": value.{field}' for field in list(fields)[:12])
        lines[-1] = lines[-1][:-1] + ","
        lines += [f"      make=lambda **fields: {name}(...),", f"      read=lambda value: {{{parts}}})"]
    return "\n".join(lines)


def _parameters(cls: Any) -> dict[str, inspect.Parameter] | None:
    """Give the parameters of a constructor, None where it takes any number or some by place alone."""
    maker: Any = cls.__init__ if cls.__init__ is not object.__init__ else cls.__new__
    if maker is object.__new__:
        return None
    try:
        found = list(inspect.signature(maker).parameters.values())[1:]
    except (ValueError, TypeError):
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {item.name: item for item in found} if all(item.kind in by_name for item in found) else None


def _holds(cls: type, name: str) -> bool:
    """Tell whether instances have an attribute: the class has it, or one of its constructors sets it."""
    if hasattr(cls, name):
        return True
    makers = [getattr(vars(base).get("__init__"), "__code__", None) for base in cls.__mro__]
    return any(code is not None and name in code.co_names for code in makers)


def _annotation_text(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "..."
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
