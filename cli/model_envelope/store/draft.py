"""An envelope while it is being made: a hidden folder beside the place where it will appear."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.foundation.files import json_bytes, scratch_folder
from model_envelope.runtime.reading import Description

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""What an envelope may be called: it names a folder, an image and a service."""


def check_name(name: str) -> str:
    """Give the name back where it is a valid one; raises :class:`InvalidInput` (``name.invalid``)."""
    if not NAME.fullmatch(name) or ".." in name:
        suggestion = suggest_name(name)
        raise InvalidInput(
            f"{name!r} is no valid name: expected lower-case letters, digits, `.`, `_` and `-`, at most 64 of them, "
            "starting and ending with a letter or digit",
            code="name.invalid",
            hint=f"`--name {suggestion}`" if suggestion else "name it with --name",
        )
    return name


def suggest_name(text: str) -> str:
    """Make a valid name of any text, or an empty one where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")


class Draft:
    """The files of an envelope before it is sealed. Paths are relative, POSIX style."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: bytes) -> Path:
        """Write one file. Raises :class:`Refused` for a name that an envelope cannot hold everywhere."""
        check_path(name)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def write_json(self, name: str, document: Any) -> Path:
        """Write one JSON document."""
        return self.write(name, json_bytes(document))

    def copy(self, name: str, source: Path) -> Path:
        """Copy one file, by streaming."""
        import shutil

        check_path(name)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        return path

    def describe(self, description: Description) -> None:
        """Write ``envelope.json``."""
        self.write_json("envelope.json", description.to_document())


@contextmanager
def open_draft(into: Path) -> Iterator[Draft]:
    """Open a draft in the folder where the envelope will appear; what is not sealed is gone afterwards.

    Raises :class:`InvalidInput` (``output.unusable``) where nothing can be written there.
    """
    made = [folder for folder in (into, *into.parents) if not folder.exists()]
    try:
        into.mkdir(parents=True, exist_ok=True)
        context = scratch_folder(into, prefix=".envelope-")
        folder = context.__enter__()
    except OSError as error:
        _remove_empty(made)
        raise InvalidInput(
            f"nothing can be written to {into}: {error.strerror}", code="output.unusable", hint="name a folder with -o"
        ) from None
    try:
        yield Draft(folder)
    finally:
        context.__exit__(None, None, None)
        _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    """Take away the folders that were made for an envelope that never came, the innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def check_path(name: str) -> None:
    """Refuse names that would not survive a copy to another system, or could not stand in a manifest."""
    parts = name.split("/")
    odd = [character for character in name if ord(character) < 32 or character in "\\\x7f"]
    if odd or name.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise Refused(
            f"{name!r} cannot be the name of a file in an envelope",
            code="envelope.file-name",
            hint="rename the file: no backslashes, control characters, or parts that climb out",
        )
