"""What the source and the sink of Delta tables share: the library, its options, and how its errors are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import InvalidJob, MissingPackage

_STORAGE = "storage."


def library() -> Any:
    """Import ``deltalake``. Raises :class:`MissingPackage` where it is not installed."""
    try:
        import deltalake
    except ImportError:
        raise MissingPackage(
            "Delta tables are read and written by the package deltalake, which is not installed",
            code="job.extra",
            hint="pip install deltalake; a batch image has it with the option `delta`",
        ) from None
    return deltalake


def storage_options(location: Location, known: tuple[str, ...]) -> dict[str, str]:
    """Give what is said of the store (``storage.AWS_REGION=...``); the rest it finds in the environment.

    Raises :class:`InvalidJob` (``job.option``) for options that are neither that nor ``known``.
    """
    strange = [name for name in location.options if name not in known and not name.startswith(_STORAGE)]
    if strange:
        raise InvalidJob(
            f"a Delta table has no option {', '.join(strange)}",
            code="job.option",
            hint=f"it has {', '.join((*known, 'storage.NAME'))}",
        )
    return {name.removeprefix(_STORAGE): value for name, value in location.options.items() if name.startswith(_STORAGE)}


def told(error: Exception, location: Location, storage: Mapping[str, str]) -> str:
    """Tell what the library said, without what opens the store: keys, tokens and users."""
    text = str(error).strip().replace(location.url, location.shown)
    for value in storage.values():
        if len(value) > 3:
            text = text.replace(value, "***")
    return text
