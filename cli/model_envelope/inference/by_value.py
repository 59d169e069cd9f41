"""What code imports that came with a pickle by value: functions of a notebook or a script, which no file shows."""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

_CATCHES_IMPORT_ERROR = frozenset({"ImportError", "ModuleNotFoundError"})
_IMPORTERS = frozenset({"import_module", "__import__"})


def imports_by_value() -> list[tuple[str, str, bool]]:
    """Give what functions import that belong to no module: what, where the functions are from, and whether guarded.

    Such functions were made by unpickling (cloudpickle, dill), or by a library at run time: their globals are those of
    no module. Names taken from a module come as ``module.name`` too, as they may be modules. Guarded are imports in
    code that catches an ImportError.
    """
    owned = {id(vars(module)) for module in list(sys.modules.values()) if hasattr(module, "__dict__")}
    found: set[tuple[str, str, bool]] = set()
    for item in gc.get_objects():
        if type(item) is FunctionType and id(item.__globals__) not in owned:
            home = str(item.__globals__.get("__name__") or item.__module__ or "")
            found |= {(module, home, guarded) for module, guarded in imports_in(item.__code__)}
    return sorted(found)


def imports_in(code: CodeType) -> Iterator[tuple[str, bool]]:
    """Give the modules that a code object imports, the code in it included, and whether it catches an ImportError."""
    guarded = bool(_CATCHES_IMPORT_ERROR & set(code.co_names))
    module = ""
    recent: list[Any] = []
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            level = recent[-2] if len(recent) > 1 else 0
            module = "" if level else str(step.argval)
            if module:
                yield module, guarded
        elif step.opname == "IMPORT_FROM" and module:
            yield f"{module}.{step.argval}", guarded
        elif step.opname.startswith("LOAD_CONST") and type(step.argval) is str and _IMPORTERS & set(recent[-3:]):
            yield step.argval, guarded
        recent.append(step.argval)
        del recent[:-4]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from imports_in(constant)
