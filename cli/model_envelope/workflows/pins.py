"""The versions that an envelope names: of its lock, or of its direct needs. Credentials in addresses are left out."""

from __future__ import annotations

from model_envelope.foundation import conda_lock
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.secrets import scrub
from model_envelope.runtime.reading import EnvelopeFiles


def locked_versions(files: EnvelopeFiles) -> dict[str, str]:
    """Give the version, or the address, of each distribution in the lock, with its marker.

    In a conda lock these are its conda packages and what pip installs beside them; of several platforms all count.
    """
    if files.conda_lock.is_file():
        conda = CondaLock.parse(files.conda_lock.read_bytes(), where=str(files.conda_lock))
        merged: dict[str, dict[str, None]] = {}
        owned = {name: key for key, name in conda.owners.items()}
        for item in conda.packages:
            merged.setdefault(owned.get(item.name, item.name), {})[item.version] = None
        return {name: ", ".join(sorted(versions)) for name, versions in sorted(merged.items())}
    lock = Lock.parse(files.lock.read_bytes(), where=str(files.lock))
    found: dict[str, list[str]] = {}
    for pin in lock.pins:
        # Of a distribution that is pinned for several platforms all versions count.
        version = pin.version or _shown(pin.source)
        found.setdefault(pin.name, []).append(f"{version} ; {pin.marker}" if pin.marker else version)
    return {name: ", ".join(versions) for name, versions in found.items()}


def source_of(files: EnvelopeFiles) -> str:
    """Give the file of an envelope that its versions stand in: a lock, else the direct needs."""
    if files.conda_lock.is_file():
        return conda_lock.NAME
    return "env/requirements.lock" if files.lock.is_file() else "env/requirements.in"


def required_versions(files: EnvelopeFiles) -> dict[str, str]:
    """Give the version, range or address of each direct need, with its marker; empty where any version does."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    path = files.path / "env" / "requirements.in"
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            found[_shown(text)] = ""
            continue
        version = _shown(requirement.url or "") or str(requirement.specifier).removeprefix("==")
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        found[canonicalize_name(requirement.name)] = version + marker
    return found


def _shown(text: str) -> str:
    return scrub(text)
