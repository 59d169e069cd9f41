"""Says which packages an envelope holds, why each is here, through whom, and how much room it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.dependencies.needs import Dropped
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.workflows.pins import locked_versions, required_versions, source_of
from model_envelope.workflows.provenance import read_provenance


@dataclass(frozen=True)
class Dependency:
    """A package of an envelope.

    ``reasons`` are those of a direct need. ``chain`` leads from a direct need to this package, both included, and is
    empty where nobody knows how it comes here; ``required_by`` names all that require it. ``size`` is in bytes, None
    where nobody knows.
    """

    name: str
    version: str
    direct: bool
    reasons: tuple[str, ...]
    chain: tuple[str, ...]
    required_by: tuple[str, ...]
    size: int | None


@dataclass(frozen=True)
class DependenciesResult:
    """The packages of an envelope by name, and what of the packing environment was left out.

    ``source`` is the file that they are from; without a lock what comes along is that of the packing environment.
    ``local`` is code that travels with the model. ``size`` is the sum of the sizes that are known. ``unknown`` says
    what is not known here, and why.
    """

    path: Path
    name: str
    digest: str
    source: str
    locked: bool
    packages: tuple[Dependency, ...]
    local: tuple[str, ...]
    left_out: tuple[Dropped, ...]
    size: int
    unknown: tuple[str, ...]


def dependencies(envelope: Path) -> DependenciesResult:
    """Read the lock and the provenance of an envelope.

    Raises ``InvalidEnvelope`` where the folder is none, or its provenance is not what was noted when it was sealed.
    """
    files = read_envelope(envelope)
    witness = read_provenance(files)
    locked = files.locked
    direct = required_versions(files)
    noted = {item["name"]: item for item in witness.get("packages", ())}
    brought = locked_versions(files) if locked else {name: item["version"] for name, item in noted.items()}
    packages = tuple(_packages({**brought, **({} if locked else direct)}, direct, noted, witness.get("kept", ())))
    inside = {item.name for item in packages}
    dropped = (Dropped(item["name"], item["version"], item["reason"]) for item in witness.get("dropped", ()))
    return DependenciesResult(
        path=files.path,
        name=files.description.name,
        digest=files.digest,
        source=source_of(files),
        locked=locked,
        packages=packages,
        local=_local(files),
        # What merely is no direct need comes along all the same.
        left_out=tuple(item for item in dropped if item.name not in inside),
        size=sum(item.size or 0 for item in packages),
        unknown=tuple(_unknown(witness, packages)),
    )


def _packages(
    versions: Mapping[str, str],
    direct: Mapping[str, str],
    noted: Mapping[str, Mapping[str, Any]],
    kept: Sequence[Mapping[str, Any]],
) -> Iterator[Dependency]:
    # What was noted of another version says nothing about this one.
    known = {
        name: noted[name]
        for name, version in versions.items()
        if name in noted and noted[name]["version"] == version.partition(" ;")[0]
    }
    requires = {name: tuple(item["requires"] or ()) for name, item in known.items()}
    reasons = {item["name"]: tuple(item["reasons"]) for item in kept}
    chains = _chains(sorted(direct), requires)
    for name in sorted(versions):
        yield Dependency(
            name=name,
            version=versions[name],
            direct=name in direct,
            reasons=reasons.get(name, ()) if name in direct else (),
            chain=chains.get(name, ()),
            required_by=tuple(sorted(other for other, names in requires.items() if name in names)),
            size=known[name]["size"] if name in known else None,
        )


def _chains(direct: Sequence[str], requires: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Give the shortest way from a direct need to each package."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in direct}
    queue = deque(direct)
    while queue:
        name = queue.popleft()
        for other in requires.get(name, ()):
            if other not in found:
                found[other] = (*found[name], other)
                queue.append(other)
    return found


def _local(files: EnvelopeFiles) -> tuple[str, ...]:
    if not files.code.is_dir():
        return ()
    return tuple(sorted(path.stem if path.suffix == ".py" else path.name for path in files.code.iterdir()))


def _unknown(witness: Mapping[str, Any], packages: Sequence[Dependency]) -> Iterator[str]:
    if not witness:
        yield "why each is here, its size, and what was left out: the provenance did not travel with the envelope"
    elif "packages" not in witness:
        tool = " ".join(str(word) for word in dict(witness.get("tool", {})).values())
        yield f"sizes, and through whom packages come along: {tool or 'the tool that packed it'} did not note it"
    elif lacking := [item.name for item in packages if item.size is None]:
        yield f"the size of {', '.join(lacking)}: not installed in that version when it was packed, or without a record"
