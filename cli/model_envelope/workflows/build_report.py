"""What came of a build, as people and programs read it: what the image holds, why, how large, and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model_envelope import __version__
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import json_bytes, write_atomic
from model_envelope.runtime import replay
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.runtime.replay import MethodReplay
from model_envelope.targets.build_log import Step
from model_envelope.targets.layers import Installed, Layer
from model_envelope.targets.pushing import Pushed
from model_envelope.targets.target import Target
from model_envelope.workflows.dependencies import dependencies
from model_envelope.workflows.provenance import read_provenance

FORMAT = 1


@dataclass(frozen=True)
class Package:
    """A distribution in an image, bytes of its files and of what was taken out of it, and why it is there."""

    name: str
    version: str
    size: int
    pruned: int
    reason: str


@dataclass(frozen=True)
class BuildResult:
    """The image that was named, its id and size in bytes, what built it of what, and how it answered.

    ``layers`` are those of a name together, bottom first; ``packages`` the distributions, the largest first (empty
    where the image does not list them); ``steps`` what took how long. ``log`` is all that the builder said, None where
    it could not be kept. ``base_digest`` is None where no digest of the base is known, ``pushed`` where it was not
    pushed. ``unchanged`` says that nothing was built: all of this is of the build before.
    """

    image: str
    id: str
    size: int
    name: str
    digest: str
    lock: str
    target: str
    base_image: str
    base_digest: str | None
    builder: str
    layers: tuple[Layer, ...]
    packages: tuple[Package, ...]
    steps: tuple[Step, ...]
    replays: tuple[MethodReplay, ...]
    seconds: float
    log: Path | None = None
    pushed: Pushed | None = None
    unchanged: bool = False

    @property
    def added(self) -> int:
        """Bytes above the base image."""
        return sum(layer.size for layer in self.layers[1:])

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form: that of build.json."""
        return {
            "format": FORMAT,
            "tool": __version__,
            **asdict(self),
            "replays": [item.to_document() for item in self.replays],
            "steps": [{**asdict(step), "seconds": round(step.seconds, 2)} for step in self.steps],
            "seconds": round(self.seconds, 2),
            "log": None if self.log is None else str(self.log),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BuildResult:
        """Read the JSON form. Raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is another."""
        if document["format"] != FORMAT:
            raise ValueError(document["format"])
        values = {name: value for name, value in document.items() if name not in {"format", "tool"}}
        return cls(
            **values
            | {
                "layers": tuple(Layer(**{**item, "digests": tuple(item["digests"])}) for item in values["layers"]),
                "packages": tuple(Package(**item) for item in values["packages"]),
                "steps": tuple(Step(**item) for item in values["steps"]),
                "replays": replay.from_document(values["replays"]),
                "log": Path(values["log"]) if values["log"] else None,
                "pushed": None,
            }
        )

    def write(self, path: Path) -> None:
        """Write build.json. Raises ``OSError``."""
        write_atomic(path, json_bytes(self.to_document()))


def with_reasons(installed: Sequence[Installed], files: EnvelopeFiles, target: Target) -> tuple[Package, ...]:
    """Say of each distribution in an image why it is there."""
    from packaging.utils import canonicalize_name

    why = _reasons(files, target)
    return tuple(
        Package(item.name, item.version, item.size, item.pruned, why(canonicalize_name(item.name)))
        for item in installed
    )


def _reasons(files: EnvelopeFiles, target: Target) -> Callable[[str], str]:
    try:
        known = {item.name: item for item in dependencies(files.path).packages} if read_provenance(files) else {}
    except EnvelopeError:
        # A provenance that was altered makes no image wrong: what it says is left out.
        known = {}
    own = {pin.name for pin in target.pins(files.description.python).pins}

    def why(name: str) -> str:
        item = known.get(name)
        if item is not None and item.direct:
            first, *more = item.reasons or ("needed by the model",)
            return f"{first} and {len(more)} more" if more else first
        if item is not None and item.chain:
            return f"comes with {' > '.join(reversed(item.chain[:-1]))}"
        return (
            f"the {target.kind if target.serves else f'{target.kind} job'} needs it"
            if name in own
            else "in the envelope's lock"
        )

    return why


def refuse_folder(place: Path | None) -> None:
    """Refuse a place of a report that is a folder before anything is built. Raises ``InvalidInput``."""
    if place is not None and place.is_dir():
        raise InvalidInput(
            f"the report cannot be written to {place}: it is a folder",
            code="build.report",
            hint=f"name a file: `--report {place / 'build.json'}`",
        )


def write_report(result: BuildResult, place: Path | None) -> BuildResult:
    """Write build.json beside the log, and where it was asked for; give the result back.

    Raises :class:`InvalidInput` (``build.report``) where it cannot be written.
    """
    if result.log is not None and not result.unchanged:
        with suppress(OSError):
            result.write(result.log.with_suffix(".json"))
    if place is not None:
        try:
            result.write(place)
        except OSError as error:
            raise InvalidInput(
                f"{place} cannot be written: {error.strerror}; the image {result.image} is built and proven",
                code="build.report",
                hint="name another file with --report",
            ) from None
    return result


def as_before(known: BuildResult) -> BuildResult:
    """Give the result of an earlier build as that of one that had nothing to do."""
    return replace(known, unchanged=True)
