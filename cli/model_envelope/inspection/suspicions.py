"""Globals that a model has no need of: what a pickle that does harm would name.

A list of the known bad can warn and never clear: a pickle that names none of these may still do harm through a module
that it brings along. Loading one you do not trust is never safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_RUNS = "runs a program"
_EVALUATES = "runs code from a string"
_NETWORK = "opens the network"
_FILES = "changes files"
_LOADS = "loads further code"

MODULES: Mapping[str, str] = {
    "subprocess": _RUNS,
    "pty": _RUNS,
    "commands": _RUNS,
    "multiprocessing.process": _RUNS,
    "socket": _NETWORK,
    "socketserver": _NETWORK,
    "ssl": _NETWORK,
    "http.client": _NETWORK,
    "http.server": _NETWORK,
    "urllib.request": _NETWORK,
    "ftplib": _NETWORK,
    "smtplib": _NETWORK,
    "webbrowser": _NETWORK,
    "requests": _NETWORK,
    "shutil": _FILES,
    "tempfile": _FILES,
    "code": _EVALUATES,
    "runpy": _EVALUATES,
    "timeit": _EVALUATES,
    "pdb": _EVALUATES,
    "bdb": _EVALUATES,
    "ctypes": _LOADS,
    "imp": _LOADS,
    "importlib": _LOADS,
    "pip": _LOADS,
    "pickle": _LOADS,
    "_pickle": _LOADS,
}
"""A module, with all that is in it and below it, and what it is good for."""

NAMES: Mapping[tuple[str, str], str] = {
    **dict.fromkeys(
        [(module, name) for module in ("builtins", "__builtin__") for name in ("eval", "exec", "execfile", "compile")],
        _EVALUATES,
    ),
    **dict.fromkeys(
        [(module, name) for module in ("builtins", "__builtin__") for name in ("__import__", "breakpoint")], _LOADS
    ),
    **dict.fromkeys([(module, "open") for module in ("builtins", "__builtin__", "io", "_io")], "opens a file"),
    ("numpy.testing._private.utils", "runstring"): _EVALUATES,
    ("torch.hub", "load"): _LOADS,
}

_OS = {"os", "posix", "nt"}
_OS_HARMLESS = {"fspath", "PathLike", "getcwd", "sep", "environ"}


@dataclass(frozen=True)
class Suspicion:
    """One global, and what it could be there for."""

    name: str
    reason: str


def suspicions(names: Iterable[tuple[str, str]]) -> tuple[Suspicion, ...]:
    """Look for them in the globals of a pickle, ``(module, name)``."""
    return tuple(
        Suspicion(f"{module}.{name}", reason) for module, name in names if (reason := _reason(module, name)) is not None
    )


def _reason(module: str, name: str) -> str | None:
    if module in _OS and name.partition(".")[0] not in _OS_HARMLESS:
        return "asks the operating system"
    if (module, name) in NAMES:
        return NAMES[module, name]
    # A dotted name reaches through a module that is harmless itself: `logging`, `os.system`.
    if any(part in {"os", "subprocess", "__globals__", "__builtins__", "__import__"} for part in name.split(".")[:-1]):
        return "reaches through a module into another"
    return next(
        (reason for known, reason in MODULES.items() if module == known or module.startswith(f"{known}.")), None
    )
