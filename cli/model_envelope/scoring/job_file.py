"""Reads a job file: YAML, or JSON, which needs no library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class UnreadableJob(ValueError):
    """A job file that cannot be read: the message says why, and where in it."""


def read_job_file(path: Path) -> dict[str, Any]:
    """Give the settings that a file names, as they stand there.

    Raises :class:`UnreadableJob` where there is no such file, it is neither YAML nor JSON, says something twice, or
    holds something else than settings by their names.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UnreadableJob(error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise UnreadableJob(f"byte {error.start} is not UTF-8") from None
    document = _parse(text, json_only=path.suffix.lower() == ".json")
    if not isinstance(document, dict) or not document:
        raise UnreadableJob(_kind(document))
    return {str(name): value for name, value in document.items()}


def _parse(text: str, *, json_only: bool) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (json.JSONDecodeError, RecursionError) as error:
        if json_only:
            raise UnreadableJob(f"no JSON: {error}") from None
    try:
        import yaml
    except ModuleNotFoundError:
        raise UnreadableJob("no JSON, and PyYAML is not installed here") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Takes no name twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """Make a mapping; its keys are compared as they are written."""
            _once((key.value, None) for key, _ in node.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506  a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnreadableJob(f"no YAML: {where}{getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise UnreadableJob("it is nested too deep") from None


def _once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if isinstance(name, str) and name in found:
            raise UnreadableJob(f"`{name}` stands there twice")
        found[name if isinstance(name, str) else repr(name)] = value
    return found


def _kind(document: Any) -> str:
    if document is None or document == {}:
        return "nothing is in it"
    return "a list" if isinstance(document, list) else "a text" if isinstance(document, str) else f"`{document!r:.40}`"
