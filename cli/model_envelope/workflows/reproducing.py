"""Builds an image a second time, from nothing, and holds the layers of the two against each other."""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from model_envelope.foundation.errors import Answered
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Done, Report, Started, silent
from model_envelope.runtime.errors import Problem
from model_envelope.targets.engine import Engine
from model_envelope.targets.layers import digests_of

NAMED = 20
"""How many files are named that differ."""
_Entry = tuple[object, ...]


def reproduce(engine: Engine, image: str, again: Callable[[str], object], report: Report = silent) -> None:
    """Build once more with ``again``, which gets the name to give, and compare the layers.

    At least a second lies between the two, so that a time of day in a layer shows.

    Raises ``Answered`` (``build.not-reproducible``) with what differs, file by file.
    """
    report(Started("reproduce", "Building once more, without any cache"))
    second = f"{image}-again"
    time.sleep(1.1)
    try:
        again(second)
        layers = digests_of(engine, image) or ()
        if layers != digests_of(engine, second):
            raise Answered(
                "two builds of the same envelope gave different layers",
                code="build.not-reproducible",
                problems=list(_differences(engine, image, second)),
                hint="a package that is built from source may write times or random names: lock one that has a wheel",
            )
    finally:
        engine.forget(second)
    report(Done("reproduce", f"Built twice: all {len(layers)} layers are the same"))


def _differences(engine: Engine, first: str, second: str) -> Iterator[Problem]:
    with scratch_folder(prefix="envelope-layers-") as scratch:
        one, two = (_contents(engine, image, scratch / f"{at}.tar") for at, image in enumerate((first, second)))
        if len(one) != len(two):
            yield Problem("layers", str(len(two)), str(len(one)), "layer.count")
        named = 0
        for at, (before, after) in enumerate(zip(one, two, strict=False), start=1):
            for name in sorted(before.keys() | after.keys()):
                if before.get(name) != after.get(name) and named < NAMED:
                    named += 1
                    found, expected = (_said(layer.get(name)) for layer in (after, before))
                    yield Problem(f"layer {at}: /{name}", found, expected, "layer.differs")


def _contents(engine: Engine, image: str, path: Path) -> list[dict[str, _Entry]]:
    """Give what is in the layers of an image: kind, mode, owner, time and content of each file."""
    engine.save(image, path)
    with tarfile.open(path) as saved:
        index = saved.extractfile("manifest.json")
        assert index is not None
        return [_layer(saved, name) for name in json.load(index)[0]["Layers"]]


def _layer(saved: tarfile.TarFile, name: str) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    with tarfile.open(fileobj=saved.extractfile(name)) as layer:
        for entry in layer:
            content = layer.extractfile(entry) if entry.isreg() else None
            digest = hashlib.sha256(content.read()).hexdigest() if content else entry.linkname
            found[entry.name] = (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, digest)
    return found


def _said(entry: _Entry | None) -> str:
    if entry is None:
        return "not there"
    _, mode, user, group, changed, content = entry
    return f"mode {mode:o}, owner {user}:{group}, time {changed}, {str(content)[:12] or 'no content'}"
