"""Lines of requirements files, as they are sealed: which versions they name, and the same with others."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def exact_versions(requirements: bytes) -> dict[str, str]:
    """Give the version of each need that names one alone, by canonical name."""
    found: dict[str, str] = {}
    for line in requirements.decode().splitlines():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        exact = [part.version for part in requirement.specifier if part.operator == "==" and "*" not in part.version]
        if len(exact) == len(requirement.specifier) == 1:
            found[canonicalize_name(requirement.name)] = exact[0]
    return found


def with_versions(requirements: bytes, versions: Mapping[str, str], names: Mapping[str, str] | None = None) -> bytes:
    """Give the direct needs with other versions, by canonical name; an empty one means any.

    ``names`` says what takes the place of what; its version is found under the new name.
    """
    lines = []
    for line in requirements.decode().splitlines():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            lines.append(line)
            continue
        old = canonicalize_name(requirement.name)
        new = (names or {}).get(old, old)
        if (version := versions.get(new)) is not None:
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            marker = f" ; {requirement.marker}" if requirement.marker else ""
            name = requirement.name if new == old else new
            lines.append(f"{name}{extras}{f'=={version}' if version else ''}{marker}")
        else:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines).encode()
