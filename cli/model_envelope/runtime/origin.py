"""The commit that an envelope was packed from: all that a service may tell of its provenance.

Beside an envelope it stands in the provenance that the ledger's last ``sealed`` line names. An image carries neither,
since they say who packed it and where; only :data:`CARRIED` travels along.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CARRIED = "provenance/commit.json"
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Origin:
    """A commit, and whether the checkout held changes that were not committed.

    ``remote`` is where that was cloned from, as git has it; it does not travel, and is empty where it is not known.
    """

    commit: str
    dirty: bool
    remote: str = field(default="", compare=False)

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"commit": self.commit, "dirty": self.dirty}


def origin_of(envelope: Path) -> Origin | None:
    """Read where an envelope comes from.

    None where it was packed outside of any checkout, where its provenance did not travel with it, or is not what was
    noted when it was sealed: nothing of this is sealed, and no reason not to answer.
    """
    # Whoever altered these files may have made anything of them.
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        carried = envelope / CARRIED
        if carried.is_file():
            return _origin(json.loads(carried.read_bytes()))
        name = _provenance(envelope / "ledger.jsonl")
        content = (envelope / "provenance" / f"{name}.json").read_bytes()
        if hashlib.sha256(content).hexdigest() == name:
            return _origin(json.loads(content)["git"])
    return None


def _provenance(ledger: Path) -> str:
    """Name the provenance of the last sealing; raises :class:`ValueError` where there is none."""
    entries = map(json.loads, ledger.read_bytes().splitlines())
    names = [entry["provenance"] for entry in entries if entry["kind"] == "sealed"]
    if not names or not _DIGEST.fullmatch(names[-1]):
        raise ValueError("no provenance is named")
    return str(names[-1])


def _origin(git: Mapping[str, Any]) -> Origin | None:
    commit = git["commit"]
    remote = git.get("remote")
    known = remote if isinstance(remote, str) else ""
    return Origin(commit, bool(git.get("dirty")), known) if _COMMIT.fullmatch(commit) else None
