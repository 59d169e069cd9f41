"""What is kept of builds in the user's state folder: the log and the result of the last ones, and what each name is of.

A build whose every ingredient is that of an earlier, proven one, and whose image still stands under its name, has
nothing to do. Whatever is not known for sure is built.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import model_envelope
from model_envelope import __version__
from model_envelope.foundation.directories import state_dir
from model_envelope.foundation.files import json_bytes, write_atomic
from model_envelope.foundation.progress import Note, Report
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.origin import origin_of
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.engine import Engine
from model_envelope.targets.layers import id_of
from model_envelope.targets.target import Target
from model_envelope.workflows.build_report import BuildResult

KEPT = 20
"""Builds whose logs are kept."""
KNOWN = 200
"""Names of images of which it is kept what they were built of."""


class KeptLog:
    """The log of one build, written line by line; ``path`` is None where it cannot be kept."""

    def __init__(self, path: Path | None, file: TextIO | None, redact: Callable[[str], str]) -> None:
        self.path = path
        self._file = file
        self._redact = redact

    def keep(self, line: str) -> str:
        """Write a line without credentials, and give it back so."""
        shown = self._redact(line)
        if self._file is not None:
            try:
                self._file.write(f"{shown}\n")
                self._file.flush()
            except OSError:
                # A full disk must not end a build on another machine: what was written stays.
                self._file, self.path = None, None
        return shown


@contextmanager
def kept_log(name: str, redact: Callable[[str], str], report: Report) -> Iterator[KeptLog]:
    """Open the log of a build of an envelope; an error in the block is noted in it, and names it.

    ``redact`` takes credentials out of a text. A state folder that cannot be written is told, and stops nothing.
    """
    path = _folder("builds") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(3)}.log"
    file = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8")
    except OSError as error:
        report(Note(f"the log is not kept: {path.parent} cannot be written ({error.strerror})"))
    _drop_all_but(KEPT, path.parent, ".log")
    log = KeptLog(path if file else None, file, redact)
    try:
        yield log
    except EnvelopeError as error:
        error.message, error.detail = redact(error.message), redact(error.detail)
        for line in [f"{error.code}: {error.message}", *map(str, error.problems), *error.detail.splitlines()]:
            log.keep(line)
        if log.path is not None:
            error.detail = f"{error.detail.rstrip()}\n\nthe whole log: {log.path}".lstrip()
        raise
    finally:
        if file is not None:
            with suppress(OSError):
                file.close()


@dataclass(frozen=True)
class Ingredients:
    """All that an image is made of, as one digest, beside the base image, which the engine knows."""

    image: str
    base_image: str
    digest: str

    @classmethod
    def of(cls, files: EnvelopeFiles, target: Target, image: str, base_image: str, **options: str) -> Ingredients:
        """Take together what a build is made of.

        The rendered folder is a pure function of the envelope, the commit that it was packed from, the target and this
        tool: their digests stand for it, and nothing of it must be written to know it. ``options`` are what else was
        asked for.
        """
        origin = origin_of(files.path)
        document = {
            "tool": [
                __version__,
                _digest_of(Path(model_envelope.__file__).parent),
                _digest_of(target.folder),
                _digest_of(target.template),
            ],
            "envelope": files.digest,
            "commit": origin.to_document() if origin else None,
            "target": [target.kind, *target.options],
            "options": options,
        }
        return cls(image, base_image, hashlib.sha256(json_bytes(document)).hexdigest())

    def remember(self, engine: Engine, result: BuildResult) -> None:
        """Note a proven build; nothing is noted where the answers are not known, or the note cannot be written."""
        base = id_of(engine, self.base_image)
        if not result.replays or not all(item.agrees for item in result.replays):
            return
        document = {**self._key(), "base_id": base, "id": result.id, "build": result.to_document()}
        # Without the note the next build takes a little longer.
        with suppress(OSError):
            write_atomic(self._path, json_bytes(document))
            _drop_all_but(KNOWN, self._path.parent, ".json")

    def built_before(self, engine: Engine) -> BuildResult | None:
        """Give the result of an earlier, proven build of the same, where its image has this name on this engine still.

        None where anything is not as it was, or is not known.
        """
        import json

        try:
            noted = json.loads(self._path.read_bytes())
            if any(noted[name] != value for name, value in self._key().items()):
                return None
            known = BuildResult.from_document(noted["build"])
            proven = bool(known.replays) and all(item.agrees for item in known.replays)
            if not proven or known.image != self.image or known.id != noted["id"]:
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if id_of(engine, self.image) != known.id or not self._same_base(engine, noted.get("base_id")):
            return None
        return known

    def _same_base(self, engine: Engine, noted: str | None) -> bool:
        """Tell whether the base image is the noted one; of one that the engine keeps to itself a digest must tell."""
        found = id_of(engine, self.base_image)
        return found == noted and (found is not None or "@sha256:" in self.base_image)

    def _key(self) -> dict[str, object]:
        return {"format": 1, "image": self.image, "base_image": self.base_image, "ingredients": self.digest}

    @property
    def _path(self) -> Path:
        return _folder("images") / f"{hashlib.sha256(self.image.encode()).hexdigest()[:32]}.json"


def _folder(name: str) -> Path:
    return state_dir() / name


def _drop_all_but(count: int, folder: Path, suffix: str) -> None:
    """Remove the oldest files, with the results beside logs. Another build may do the same at this moment."""
    with suppress(OSError):
        found = sorted(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in found[count:]:
            for gone in {path, path.with_suffix(".json")}:
                gone.unlink(missing_ok=True)


def _digest_of(folder: Path) -> str:
    """Give one digest of the files of this tool, or of a target, that can have a part in an image."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not re.search(r"/__pycache__/|\.pyc$", path.as_posix()):
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
