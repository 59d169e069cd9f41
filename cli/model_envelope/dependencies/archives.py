"""Modules that lie in zip files on the search path: put into folders, so that they are local code like any other."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_envelope.dependencies.capture import SIZE_LIMIT
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import human_size


def unpack(
    modules: Mapping[str, str | None],
    search: Sequence[str],
    into: Path,
    *,
    limit: int = SIZE_LIMIT,
    raised_by: str = "",
) -> tuple[dict[str, str | None], tuple[Path, ...]]:
    """Unpack the zip files that modules were loaded from, or could be; ``search`` is the ``sys.path`` of that time.

    Gives the modules with their files where they are now, and the folders that stand for the zip files.

    Raises :class:`InvalidInput` for an archive that cannot be read (``code.archive``) or is larger than ``limit`` bytes
    once it is unpacked (``code.too-large``), before anything of it is written.
    """
    roots: dict[Path, Path] = {}
    for word in (*search, *(file for file in modules.values() if file)):
        archive = _archive_of(Path(word))
        if archive is not None and archive not in roots:
            roots[archive] = into / str(len(roots))
            _unpack(archive, roots[archive], limit, raised_by)
    moved = {name: _moved(file, roots) if file else None for name, file in modules.items()}
    entries = dict.fromkeys(Path(_moved(word, roots)) for word in search)
    return moved, tuple(entry for entry in entries if any(entry.is_relative_to(root) for root in roots.values()))


def _archive_of(path: Path) -> Path | None:
    """Give the zip file that a path leads to or into. Those of installed things and of Python itself are none."""
    if not path.is_absolute() or path.is_dir() or {"site-packages", "dist-packages"} & set(path.parts):
        return None
    for candidate in (path, *path.parents):
        if candidate.is_file():
            return candidate if zipfile.is_zipfile(candidate) else None
        if candidate.is_dir():
            return None
    return None


def _unpack(archive: Path, into: Path, limit: int, raised_by: str) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            size = sum(item.file_size for item in opened.infolist())
            if size > limit:
                more = f", or raise the limit: {raised_by.format(f'{-(-size // 10**6)}MB')}" if raised_by else ""
                raise InvalidInput(
                    f"the local code in `{archive}` has {human_size(size)}, and at most {human_size(limit)} travel in "
                    "an envelope",
                    code="code.too-large",
                    hint=f"keep data out of the archive{more}",
                )
            opened.extractall(into)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise InvalidInput(
            f"local code lies in `{archive}`, which cannot be unpacked: {error}",
            code="code.archive",
            hint="put its modules into a folder on the search path instead",
        ) from None


def _moved(file: str, roots: Mapping[Path, Path]) -> str:
    path = Path(file)
    for archive, root in roots.items():
        if path.is_relative_to(archive):
            return str(root / path.relative_to(archive))
    return file
