"""Whether the lock of an envelope is for the machine and the Python that it is about to be used with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_envelope.foundation.errors import InvalidInput, ToolFailed
from model_envelope.foundation.interpreter import describe
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note, Report
from model_envelope.runtime.reading import Description, EnvelopeFiles


def platforms_of(description: Description) -> tuple[Platform, ...]:
    """Give all platforms that the lock of an envelope is for."""
    return tuple(map(Platform.of, description.platforms or (description.platform,)))


def misfit(files: EnvelopeFiles, where: Platform, what: str = "this machine") -> str:
    """Say that a lock is for other platforms than the one ``where``; empty where it is for that."""
    platforms = platforms_of(files.description)
    if any(where.runs(platform) for platform in platforms):
        return ""
    resolver = " --resolver conda-lock" if files.conda_lock.is_file() else ""
    return (
        f"the lock of {files.path.name} is for {' and '.join(map(str, platforms))}, and {what} is {where}; "
        f"`envelope lock {files.path.name}{resolver} --platform {where}` makes an envelope for it"
    )


@contextmanager
def fitting(files: EnvelopeFiles, where: Platform, report: Report, what: str = "this machine") -> Iterator[None]:
    """Report a lock for another platform, and say it in the hint of what fails within, as that is the likely cause.

    Nothing is refused: most packages have the same versions for all platforms, and answers are proven in any case.
    """
    said = misfit(files, where, what)
    if said:
        report(Note(said))
    try:
        yield
    except ToolFailed as error:
        if said:
            error.hint = f"{said}; {error.hint}" if error.hint else said
        raise


def check_python(files: EnvelopeFiles, interpreter: Path) -> None:
    """Refuse an interpreter of another version than the lock is for.

    Raises :class:`InvalidInput` (``lock.other-python``).
    """
    found, wanted = describe(interpreter).series, files.description.python
    if found != wanted:
        raise InvalidInput(
            f"the lock of {files.path.name} is for Python {wanted}, and {interpreter} is Python {found}",
            code="lock.other-python",
            hint=f"name a Python {wanted} with `--python`; "
            f"`envelope lock {files.path.name} --python-version {found}` makes an envelope for this one",
        )
