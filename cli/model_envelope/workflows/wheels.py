"""Wheels that travel in an envelope: those of distributions that were installed from no index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from model_envelope.dependencies.distribution import Distribution
from model_envelope.dependencies.file_names import is_listed
from model_envelope.dependencies.graph import closure
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.needs import Needs
from model_envelope.dependencies.wheels import make_wheel
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import human_size
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Note, Report
from model_envelope.foundation.pylock import WHEELS
from model_envelope.store.draft import Draft

FOLDER = f"env/{WHEELS}"


def take_along(
    draft: Draft, needs: Needs, installed: Installed, *, index: IndexSettings | None, report: Report
) -> dict[str, Path]:
    """Put a wheel of all that the model needs and that no index has into a draft; give them by name.

    A file that the ``index`` lists with the same hash is left to it; without an index nobody is asked. What no wheel
    can be made of is reported and left to the index too.
    """
    found: dict[str, Path] = {}
    for item in _homeless(needs, installed):
        if index is not None and (hash_of_file := _hash_of_file(item)) and is_listed(item.key, hash_of_file, index):
            continue
        try:
            wheel = make_wheel(item, draft.folder / FOLDER)
        except InvalidInput as error:
            # An index may have it all the same; the resolver says so where none has.
            report(Note(error.message))
            continue
        found[item.key] = wheel
        origin = (index or IndexSettings()).redact(item.origin or "")
        size = human_size(wheel.stat().st_size)
        report(
            Note(f"{item.name} {item.version} travels as a wheel ({size}): it comes from {origin}, which is no index")
        )
    return found


def wheels_in(folder: Path) -> dict[str, Path]:
    """Give the wheels that travel in an envelope or a draft, by canonical name."""
    return {parse_wheel_filename(path.name)[0]: path for path in sorted((folder / FOLDER).glob("*.whl"))}


def leave_behind(draft: Draft, lock: Lock) -> None:
    """Take out of a draft the wheels that its lock does not name."""
    names = {name for pin in lock.pins for _, name in pin.files}
    for path in wheels_in(draft.folder).values():
        if path.name not in names:
            path.unlink()
    if (draft.folder / FOLDER).is_dir() and not wheels_in(draft.folder):
        (draft.folder / FOLDER).rmdir()


def index_with(folder: Path) -> IndexSettings:
    """Give the settings to install from the lock of an envelope or a draft: this machine's, and its own wheels."""
    return IndexSettings.from_environment().with_wheels(folder / FOLDER)


def _homeless(needs: Needs, installed: Installed) -> Iterator[Distribution]:
    """Give what the model needs that was installed from a repository, a folder or a file."""
    roots = [item.name for item in needs.kept]
    inside = closure(roots, installed, without=needs.left_out, as_of=needs.stand_ins)
    for name in sorted(inside):
        item = installed.distributions.get(canonicalize_name(name))
        # Packages of conda say where they were built, which is not where they come from.
        if item is not None and item.direct_url and not item.editable and item.installer != "conda":
            yield item


def _hash_of_file(item: Distribution) -> str:
    """Give the hash of the file that a distribution was installed from, where that is noted."""
    archive = (item.direct_url or {}).get("archive_info")
    if not isinstance(archive, Mapping):
        return ""
    hashes = archive.get("hashes")
    if isinstance(hashes, Mapping) and isinstance(hashes.get("sha256"), str):
        return f"sha256:{hashes['sha256']}"
    noted = archive.get("hash")
    return noted.replace("=", ":", 1) if isinstance(noted, str) and noted.startswith("sha256=") else ""
