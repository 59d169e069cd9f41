"""The git checkout that a model comes from: commit, branch, remote, and what is not committed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolMissing
from model_envelope.foundation.files import scratch_folder

TIMEOUT = 60.0
"""Seconds that git has for one question: a repository on a slow disk must not hold up a packing for long."""
MOST_NAMES = 100
"""Files that git does not know are named up to this many."""
# The user's own settings of git must not decide what the difference looks like, and so its digest.
_DIFF = ("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
# Neither envelopes in the making nor Python's caches are anybody's changes.
_OURS = (":(exclude,glob)**/.envelope-*/**", ":(exclude,glob)**/__pycache__/**")


@dataclass(frozen=True)
class Commit:
    """The commit that a folder is at.

    ``remote`` is the address of its repository, as git has it, credentials included; empty where there is none.
    ``prefix`` is the folder's place in the repository, empty at the top.
    """

    id: str
    remote: str
    prefix: str

    def reference(self, name: str) -> str | None:
        """Give where a project of this name in this folder can be had again, as pip writes it; None without remote."""
        if not self.remote:
            return None
        address = self.remote
        if "://" not in address and ":" in address and not address.startswith("/"):
            # The short form of an SSH address: `git@host:owner/repository`.
            address = "ssh://" + address.replace(":", "/", 1)
        inside = f"&subdirectory={self.prefix}" if self.prefix else ""
        return f"git+{address}@{self.id}#egg={name}{inside}"


@dataclass(frozen=True)
class Checkout:
    """A commit and how its checkout differs from it.

    ``branch`` is empty where none is checked out. ``difference`` is what ``git diff --binary HEAD`` gives;
    ``untracked`` are files that git neither knows nor ignores, a folder of nothing else by its own name.
    """

    commit: Commit
    branch: str
    difference: bytes = field(repr=False)
    untracked: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form: only what there is; of the difference its digest."""
        digest = hashlib.sha256(self.difference).hexdigest()
        facts: dict[str, Any] = {
            "commit": self.commit.id,
            "branch": self.branch,
            "remote": self.commit.remote,
            "dirty": f"sha256:{digest}" if self.difference else "",
            "untracked": list(self.untracked[:MOST_NAMES]),
            "untracked_more": max(0, len(self.untracked) - MOST_NAMES),
        }
        return {name: value for name, value in facts.items() if value}


def read_commit(folder: Path) -> Commit | None:
    """Read where a folder is; None where it is in no checkout, there is no commit yet, or git is not installed."""
    try:
        found = _git(folder, "rev-parse", "HEAD").strip()
        prefix = _git(folder, "rev-parse", "--show-prefix").strip().rstrip("/")
        return Commit(found, _remote(folder), prefix) if found else None
    except ToolMissing:
        return None


def read_checkout(folder: Path) -> Checkout | None:
    """Read the checkout that a folder is in; None as for :func:`read_commit`."""
    commit = read_commit(folder)
    if commit is None:
        return None
    return Checkout(
        commit,
        branch=_git(folder, "symbolic-ref", "--quiet", "--short", "HEAD").strip(),
        difference=_difference(folder),
        untracked=tuple(sorted(filter(None, _untracked(folder).split("\0")))),
    )


def read_remote(folder: Path) -> str:
    """Give the address of a checkout's remote, credentials included; empty where there is none, or no git."""
    try:
        return _remote(folder)
    except ToolMissing:
        return ""


def read_default_branch(folder: Path) -> str:
    """Give the branch that the remote of a checkout calls its own; empty where that is not known here."""
    try:
        return _git(folder, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD").strip().partition("/")[2]
    except ToolMissing:
        return ""


def _remote(folder: Path) -> str:
    """Give the address of `origin`, or of the first remote where none is called so."""
    lines = _git(folder, "config", "--get-regexp", r"^remote\..*\.url$").splitlines()
    remotes = dict(line.split(" ", 1) for line in reversed(lines) if " " in line)
    return remotes.get("remote.origin.url") or next(reversed(remotes.values()), "")


def _difference(folder: Path) -> bytes:
    # Through a file, since a difference is bytes: of texts in any encoding, and of binary files.
    with scratch_folder() as scratch:
        path = scratch / "difference"
        _git(folder, *_DIFF, f"--output={path}", "HEAD")
        return path.read_bytes() if path.is_file() else b""


def _untracked(folder: Path) -> str:
    top = _git(folder, "rev-parse", "--show-toplevel").rstrip("\n")
    where = Path(top) if top else folder
    return _git(where, "ls-files", "--others", "--exclude-standard", "--directory", "-z", "--", ".", *_OURS)


def _git(folder: Path, *words: str) -> str:
    """Ask git, which writes nothing into the repository for it; what it cannot say is empty."""
    quiet = process.environment({"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"})
    finished = process.run(["git", "-C", folder, "-c", "core.fsmonitor=false", *words], env=quiet, timeout=TIMEOUT)
    return finished.stdout if finished.ok else ""
