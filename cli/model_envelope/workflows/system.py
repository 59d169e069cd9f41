"""Libraries of the system: noted in an envelope beside its lock, and told."""

from __future__ import annotations

from collections.abc import Iterator

from model_envelope.dependencies.graph import packages
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.system_libraries import Found, find_libraries
from model_envelope.foundation import libraries
from model_envelope.foundation.libraries import Libraries
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Note, Report
from model_envelope.store.draft import Draft


def note_libraries(draft: Draft, lock: Lock, environment: Installed, report: Report, *, room: bool) -> None:
    """Find the libraries of the system that a lock's packages need, write them into the draft, and say so.

    ``environment`` is where the files of the packages are: the clean ``room`` that was made from the lock, which has
    all that an image will have, or the packing environment. The file is written only where something is needed.
    """
    names = lock.versions()
    if room:
        names = {name: version for name, version in names.items() if name in environment.distributions}
    found = find_libraries(packages(names, names, [environment]), [environment])
    (draft.folder / libraries.NAME).unlink(missing_ok=True)
    if found.libraries:
        draft.write(libraries.NAME, found.libraries.to_bytes())
    if found.libraries.packages:
        needed = ", ".join(found.libraries.packages)
        report(Note(f"needs {needed} of the system: an image installs what its base lacks of it"))
    for text in _notes(found):
        report(Note(text))


def unknown_libraries(found: Libraries) -> Iterator[str]:
    """Say of each library without a known package who needs it."""
    for item in found.unknown:
        more = f" and {len(item.needed_by) - 1} others" if len(item.needed_by) > 1 else ""
        yield (
            f"`{item.needed_by[0] if item.needed_by else 'the model'}`{more} needs `{item.soname}` of the system, and "
            "no Debian package of it is known: the base image must have it"
        )


def _notes(found: Found) -> Iterator[str]:
    yield from unknown_libraries(found.libraries)
    for file, what in found.broken.items():
        yield f"`{file}` cannot be read for libraries of the system: {what}"
    if found.unread:
        yield (
            f"not read for libraries of the system: {', '.join(found.unread)}; the files that Linux would install are "
            "not at hand here, a proof on Linux has them"
        )
