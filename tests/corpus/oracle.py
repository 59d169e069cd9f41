"""Computes what the models of the corpus need, by taking distributions away: nothing here is written by hand.

*Works.* A set of distributions works for a model when a fresh process, in an environment that has the files of these
distributions and of no others, loads the model and gives the sealed answers to all its samples. Such an environment is
made of links into the crowded one, file by file of the distributions' records, so that modules, data, metadata, entry
points and `.pth` files of what is taken away are all gone. The model runs from its envelope, with the local code that
travels in it; folders in which a case keeps local code are searched last, so that code which the tool forgot is not
mistaken for a need of distributions (that the envelope alone is enough is asked by the test, not here).

*Needed.* A first run tells which distributions are touched at all. They are a list that is surely long enough: an
environment of these and of all that they require has to work. Then the list gets shorter by one at a time, for good
where an environment of the rest of it, and of all that this requires, still works. What another of the list brings
along is not tried, as nothing would be gone; so of two that can stand for each other the one stays that is there
anyway. In what is left, with all that it requires, distributions are then taken away one by one, again for good where
the rest works, until none can be spared any more. These are needed: they work, and no member can be taken away.

*Direct.* A needed distribution is a direct need when no other needed one brings it along by what its metadata requires,
however far down, extras and markers counted.

A list of direct needs is held against that so:

- recall: the share of needed distributions that are in the list, or are brought along by it;
- precision: the share of listed distributions that are needed. One that another brings along anyway is right where it
  is needed, and wrong where it is not.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from corpus.running import Failed
from model_envelope.foundation import carrying

TIMEOUT = 300
_TRACE = (
    "import atexit, json, os, sys; seen = set(); "
    "sys.addaudithook(lambda event, args: seen.add(args[0]) if event in ('open', 'ctypes.dlopen') "
    "and isinstance(args[0], str) else None); "
    "atexit.register(lambda: os.write(os.open({out!r}, os.O_WRONLY | os.O_CREAT), json.dumps(sorted(seen | "
    "{{file for module in list(sys.modules.values()) if (file := getattr(module, '__file__', None))}})).encode())); "
)


@dataclass(frozen=True)
class Truth:
    """What a model needs: all of it, and what of it nothing else of it brings along."""

    needed: tuple[str, ...]
    direct: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """A list of direct needs against the truth."""

    missing: tuple[str, ...]
    needless: tuple[str, ...]
    found: int
    needed: int
    right: int
    listed: int


@dataclass
class _Node:
    """A file or folder of the environment, and the distributions that have files there."""

    owners: set[str] = field(default_factory=set)
    children: dict[str, _Node] = field(default_factory=dict)


class Crowded:
    """The crowded environment: who owns which file, and who requires whom."""

    def __init__(self, python: Path) -> None:
        self.prefix = python.parent.parent
        self.python = python
        (self.packages,) = self.prefix.glob("lib/python3*/site-packages")
        self.distributions: dict[str, Distribution] = {
            canonicalize_name(item.name): item for item in distributions(path=[str(self.packages)])
        }

    @cached_property
    def names(self) -> frozenset[str]:
        """The canonical names of all distributions."""
        return frozenset(self.distributions)

    @cached_property
    def _owners(self) -> dict[str, set[str]]:
        """The owners of each file, by its path below the environment."""
        found: dict[str, set[str]] = {}
        for name, item in self.distributions.items():
            for row in csv.reader((item.read_text("RECORD") or "").splitlines()):
                path = os.path.relpath(os.path.normpath(self.packages / row[0]), self.prefix)
                # Scripts start the crowded environment's own interpreter.
                if not path.startswith("bin/"):
                    found.setdefault(path, set()).add(name)
        return found

    @cached_property
    def _tree(self) -> _Node:
        root = _Node()
        for path, owners in self._owners.items():
            node = root
            for part in Path(path).parts:
                node = node.children.setdefault(part, _Node())
                node.owners |= owners
        return root

    def touched(self, files: Iterable[str], shadow: Path) -> tuple[frozenset[str], frozenset[str]]:
        """Give the owners of files that a process opened: those of anything, and those of more than metadata."""
        every: set[str] = set()
        used: set[str] = set()
        for file in files:
            for base in (shadow, self.prefix):
                if file.startswith(f"{base}/"):
                    path = os.path.relpath(os.path.normpath(file), base)
                    # What a process opens in __pycache__ belongs to whoever owns the source.
                    if "/__pycache__/" in path:
                        folder, _, name = path.rpartition("/__pycache__/")
                        path = f"{folder}/{name.partition('.')[0]}.py"
                    owners = self._owners.get(path, set())
                    every |= owners
                    used |= set() if ".dist-info/" in path else owners
        return frozenset(every), frozenset(used)

    def shadow(self, present: frozenset[str], folder: Path) -> Path:
        """Make an environment in a folder that has the files of these distributions only; gives its interpreter."""
        inside = folder / self.packages.relative_to(self.prefix)
        inside.mkdir(parents=True)
        (folder / "bin").mkdir()
        shutil.copyfile(self.prefix / "pyvenv.cfg", folder / "pyvenv.cfg")
        (folder / "bin" / "python").symlink_to(self.python.resolve())
        forced = {folder, *(parent for parent in (inside, *inside.parents) if folder in parent.parents)}
        _link(self._tree, self.prefix, folder, present, forced)
        return folder / "bin" / "python"

    @cache  # noqa: B019  there is one environment a process
    def closure(self, names: frozenset[str]) -> frozenset[str]:
        """Give these distributions and all that they require here, however far down."""
        done: set[tuple[str, frozenset[str]]] = set()
        queue: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in names]
        while queue:
            item = queue.pop()
            name, extras = item
            if item in done or name not in self.distributions:
                continue
            done.add(item)
            for line in self.distributions[name].requires or ():
                wanted = Requirement(line)
                if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                    queue.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
        return frozenset(name for name, _ in done)

    def direct(self, needed: frozenset[str]) -> tuple[str, ...]:
        """Give those that none of the others brings along; of two that bring each other the first by name."""
        found = set(needed)
        for name in sorted(needed, reverse=True):
            if name in self.closure(frozenset(found - {name})):
                found.discard(name)
        return tuple(sorted(found))

    def judge(self, kept: Iterable[str], needed: Iterable[str]) -> Verdict:
        """Hold a list of direct needs against what is needed."""
        listed, wanted = frozenset(kept), frozenset(needed)
        missing, needless = wanted - self.closure(listed), listed - wanted
        return Verdict(
            missing=tuple(sorted(missing)),
            needless=tuple(sorted(needless)),
            found=len(wanted) - len(missing),
            needed=len(wanted),
            right=len(listed) - len(needless),
            listed=len(listed),
        )


class Oracle:
    """Finds what the model of an envelope needs. ``runs`` counts the processes that it took.

    ``folders`` are where local code lies that may not be in the envelope.
    """

    def __init__(
        self,
        envelope: Path,
        crowded: Crowded,
        *,
        folders: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.envelope = envelope
        self.crowded = crowded
        self.folders = [str(folder) for folder in folders]
        self.environment = os.environ if environment is None else environment
        self.runs = 0
        self._known: dict[frozenset[str], bool] = {}

    def truth(self) -> Truth:
        """Find it. Raises :class:`Failed` where the model does not work with everything there."""
        touched = self._touched()
        present = self.crowded.closure(self._shortest(touched))
        if self.works(present & touched):
            present &= touched
        while True:
            before = present
            for name in sorted(present):
                if self.works(present - {name}):
                    present -= {name}
            if present == before:
                return Truth(tuple(sorted(present)), self.crowded.direct(present))

    def seconds(self) -> float:
        """Measure one replay in the crowded environment itself: loading and answering, nothing watched."""
        began = time.perf_counter()
        self._replay(self.crowded.python)
        return time.perf_counter() - began

    def works(self, present: frozenset[str]) -> bool:
        """Whether the model answers as sealed with these distributions alone."""
        if present not in self._known:
            with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
                done = self._replay(self.crowded.shadow(present, Path(scratch, "environment")))
            self._known[present] = done.returncode == 0
        return self._known[present]

    def _touched(self) -> frozenset[str]:
        """Give distributions that are surely enough: those of which more than metadata is touched, or all touched."""
        everything = self.crowded.names
        with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
            shadow, trace = Path(scratch, "environment"), Path(scratch, "trace.json")
            done = self._replay(self.crowded.shadow(everything, shadow), _TRACE.format(out=str(trace)))
            if done.returncode:
                raise Failed(f"it does not answer as sealed with everything there:\n{done.stdout}{done.stderr}")
            every, used = self.crowded.touched(json.loads(trace.read_bytes()), shadow)
        for candidates in (used, every):
            if self.works(self.crowded.closure(candidates)):
                return candidates
        return everything

    def _shortest(self, names: frozenset[str]) -> frozenset[str]:
        """Leave out of a list what it can do without, when all comes along that the rest requires."""
        kept: set[str] = set()
        while untried := [name for name in self.crowded.direct(names) if name not in kept]:
            if self.works(self.crowded.closure(names - {untried[0]})):
                names -= {untried[0]}
            else:
                kept.add(untried[0])
        return names

    def _replay(self, python: Path, prelude: str = "") -> subprocess.CompletedProcess[str]:
        self.runs += 1
        with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
            home = carrying.link(Path(scratch, "carried"), ["runtime"])
            flag, _, code, *words = carrying.arguments(home, "model_envelope.runtime.replay", self.envelope)
            try:
                return subprocess.run(
                    [python, flag, "-c", f"{prelude}import sys; sys.path.extend({self.folders!r}); {code}", *words],
                    cwd=scratch,
                    env=self.environment,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    timeout=TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise Failed(f"{self.envelope}: no answer within {TIMEOUT} seconds") from None


def _link(node: _Node, real: Path, into: Path, present: frozenset[str], forced: set[Path]) -> None:
    for name, child in node.children.items():
        source, target = real / name, into / name
        if not child.owners & present:
            continue
        if target in forced or not child.owners <= present:
            target.mkdir(exist_ok=True)
            _link(child, source, target, present, forced)
        elif source.exists():
            target.symlink_to(source)
