"""What a builder says while it builds: kept line by line, told as progress, and taken apart into steps.

BuildKit's ``--progress plain`` and the events of the classic builder become the same: steps with a name that a person
knows, whether they came from the cache, how long they took, and the words of what failed, without what the builder
itself puts around them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from model_envelope.foundation.progress import Doing, Part, Report, silent

STEP = "build"
"""The step of a command that a builder's progress belongs to."""

BASE, SENDING, SYSTEM, PACKAGES, RUNTIME, CODE, MODEL, EXPORT = NAMES = (
    "base image",
    "sending",
    "system packages",
    "packages",
    "runtime code",
    "local code",
    "model",
    "export",
)
"""What the steps and the layers of an image are called, in their order."""

WORTH_TELLING = 0.1
"""Seconds from which on it is told that a part has ended."""

_DOING = {
    BASE: "getting the base image",
    SENDING: "sending the files to the engine",
    SYSTEM: "installing packages of the system",
    PACKAGES: "installing packages",
    RUNTIME: "compiling the runtime code",
    EXPORT: "writing the image",
    # What assembling announces.
    "pruning": "taking out of packages what no image needs",
    "bytecode": "compiling packages",
}
# The first that fits: instructions of the targets' Dockerfiles, and BuildKit's own words.
_SUBJECTS = (
    (r"export|writing image|naming to|sending tarball", EXPORT),
    (r"load build context", SENDING),
    (r"FROM |load metadata for|resolve image|docker-image://", BASE),
    (r".*(?:assembling system|/system/ )", SYSTEM),
    (r".*(?:assembling code|/(?:serving|scoring)/ |layers/(?:serving|scoring))", RUNTIME),
    (r".*(?:assembling packages|/packages/ |requirements\.lock|conda-lock|wheelhouse|/assemble |micromamba)", PACKAGES),
    (r".*layers/code", CODE),
    (r".*layers/model", MODEL),
)
_LINE = re.compile(r"#(?P<id>\d+) (?P<rest>.*)")
_SAID = re.compile(r"\d+\.\d+ ?(?P<text>.*)")
_ENDED = re.compile(r"(?:DONE (?P<seconds>[\d.]+)s|(?P<cached>CACHED)|ERROR: (?P<error>.*)|CANCELED)")
_PLACE = re.compile(r"\[(?:[^\]]*?\s)?(?:\d+/\d+|internal|auth)\]\s*|\[[^\]]*\]\s*")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_ANNOUNCED = re.compile(r"envelope: (?!error:)(?P<what>.*?)(?:: done in (?P<seconds>[\d.]+) s)?")
_INSTALLING = re.compile(r"(?P<count>\d+) packages, with (?P<installer>\S+)")
# What BuildKit does for itself (it reads the Dockerfile), and instructions that only note something.
_NO_STEP = re.compile(r"load (?:build definition|\.docker|remote)|building with |(?!FROM|RUN|COPY|ADD)[A-Z]{3,} ")
# What a builder repeats of a command that failed, and frames it with.
_NOISE = re.compile(
    r"\s*(?:-{4,}|>?\s*>>>.*|> \[.*\]:?|> .*:|\d+ \|.*|Dockerfile:\d+|executor failed running .*"
    r"|(?:ERROR: )?(?:failed to solve: )?(?:executor failed running|process \").*"
    r"|The command '.*' returned a non-zero code: \d+|envelope: (?!error:).*|WARNING: .*running pip as.*)?"
)
# What it repeats of one that could not even be started, after which it says why.
_NOT_STARTED = re.compile(
    r"(?:executor failed running \[.*\]|.*process \".*\" did not complete successfully): (?!exit code)(?P<why>.+)"
)


@dataclass(frozen=True)
class Step:
    """A part of a build: its name, whether the builder had it already, and seconds."""

    name: str
    cached: bool
    seconds: float


def subject_of(instruction: str) -> str:
    """Give the name of what an instruction makes; one of an unknown Dockerfile is called by its own words."""
    found = next((name for pattern, name in _SUBJECTS if re.match(pattern, f"{instruction} ")), None)
    return found or " ".join(instruction.split())[:60]


def plain(text: str) -> str:
    """Give a text without colours and other control characters."""
    return _CONTROL.sub("", text)


@dataclass
class _Running:
    instruction: str
    began: float
    said: list[str] = field(default_factory=list)


class BuildLog:
    """Follows one build.

    ``keep`` gets every line, and gives it back as it may be shown: without credentials. ``report`` gets the progress.
    """

    def __init__(
        self,
        keep: Callable[[str], str] = str,
        report: Report = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep = keep
        self.report = report
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._ended: set[str] = set()
        self._steps: list[Step] = []
        self._failed: _Running | None = None
        self._own: list[str] = []
        self._rest = ""

    def line(self, raw: str) -> None:
        """Take one line of BuildKit's plain progress, or of what its command says."""
        text = self._keep(plain(raw).rstrip())
        found = _LINE.fullmatch(text)
        if found is None:
            if text and not _NOISE.fullmatch(text):
                self._own.append(text)
            return
        key, rest = found["id"], found["rest"]
        running = self._running.get(key)
        if running is None:
            if key not in self._ended:
                self._begin(key, _PLACE.sub("", rest, count=1))
            return
        if said := _SAID.fullmatch(rest):
            self._say(running, said["text"])
        elif ended := _ENDED.fullmatch(rest):
            if ended["error"] is not None:
                self._fail(running, ended["error"])
            seconds = float(ended["seconds"]) if ended["seconds"] else self._clock() - running.began
            self._end(key, seconds=seconds, cached=bool(ended["cached"]))

    def fetching(self, raw: str) -> None:
        """Take one line of what fetches packages for a builder that has no network."""
        self._keep(plain(raw).rstrip())

    def event(self, event: Mapping[str, Any]) -> None:
        """Take one event of the classic builder."""
        if status := event.get("status"):
            text = " ".join(filter(None, [event.get("id"), status]))
            if "progressDetail" not in event or not event["progressDetail"]:
                self._keep(plain(str(text)).rstrip())
        *lines, self._rest = (self._rest + str(event.get("stream") or "")).split("\n")
        for line in lines:
            self._classic_line(line)
        if error := event.get("error"):
            running = self._running.get("step")
            kept = self._keep(plain(str(error)).rstrip())
            if running is not None:
                self._fail(running, kept)
            else:
                self._own.append(kept)

    def finish(self) -> tuple[Step, ...]:
        """End the last step, and give all of them."""
        if self._rest:
            self._classic_line(self._rest)
            self._rest = ""
        if "step" in self._running:
            self._end("step")
        return tuple(self._steps)

    @property
    def failed(self) -> str:
        """The instruction that failed; empty where none did, or it was nothing in the Dockerfile."""
        return self._failed.instruction if self._failed else ""

    @property
    def said(self) -> str:
        """What was said of the failure: the words of the step that failed, and the builder's own."""
        words = list(self._failed.said) if self._failed else []
        # A build that was cut off names no step: what was going on then tells most.
        words = words or [line for running in self._running.values() for line in running.said]
        # Newer BuildKit repeats the end of it, and every one the last word.
        own = [line for line in self._own if not words or words[-1] not in line]
        return "\n".join([*words, *(line for line in own if re.sub(r"^\d+\.\d+ ", "", line) not in words)])

    def _classic_line(self, raw: str) -> None:
        text = self._keep(plain(raw).rstrip())
        running = self._running.get("step")
        if step := re.fullmatch(r"Step \d+/\d+ : (.*)", text):
            if running is not None:
                self._end("step")
            self._begin("step", step[1])
        elif running is None:
            if text and not _NOISE.fullmatch(text) and not text.startswith(" ---> "):
                self._own.append(text)
        elif text == " ---> Using cache":
            self._end("step", cached=True)
        elif not re.match(r" ---> |Removing intermediate container|Successfully ", text):
            self._say(running, text)

    def _begin(self, key: str, instruction: str) -> None:
        self._running[key] = _Running(instruction, self._clock())
        name = subject_of(instruction)
        if name in NAMES:
            copies = instruction.startswith(("COPY", "ADD"))
            self._do(f"copying {'the ' if name == MODEL else ''}{name}" if copies else _DOING.get(name, name))

    def _say(self, running: _Running, text: str) -> None:
        if text and not _NOISE.fullmatch(text):
            running.said.append(text)
        if found := _ANNOUNCED.fullmatch(text):
            installing = _INSTALLING.fullmatch(found["what"])
            name = subject_of(running.instruction)
            if found["seconds"]:
                self._tell(f"{name}: {found['what']}", float(found["seconds"]))
            elif installing:
                self._do(f"installing {installing['count']} packages with {installing['installer']}")
            else:
                self._do(_DOING.get(found["what"], f"{name}: {found['what']}"))

    def _fail(self, running: _Running, error: str) -> None:
        if found := _NOT_STARTED.fullmatch(error):
            running.said.append(found["why"])
        elif not _NOISE.fullmatch(error):
            running.said.append(error)
        self._failed = self._failed or running

    def _end(self, key: str, *, seconds: float | None = None, cached: bool = False) -> None:
        running = self._running.pop(key)
        self._ended.add(key)
        name = subject_of(running.instruction)
        if _NO_STEP.match(running.instruction):
            return
        step = Step(name, cached, round(self._clock() - running.began if seconds is None else seconds, 2))
        self._steps.append(step)
        if self._failed is not running:
            words = f"{name}, copied" if running.instruction.startswith(("COPY", "ADD")) else name
            self._tell(words, 0.0 if cached else step.seconds)

    def _tell(self, words: str, seconds: float) -> None:
        if seconds >= WORTH_TELLING:
            self.report(Part(STEP, words, seconds))

    def _do(self, text: str) -> None:
        self.report(Doing(STEP, f"Building: {text}"))


def by_name(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Add up the steps of one name, in the order of :data:`NAMES`; one is cached where all of its parts were."""
    names = [*NAMES, *dict.fromkeys(step.name for step in steps if step.name not in NAMES)]
    groups = {name: [step for step in steps if step.name == name] for name in names}
    return tuple(
        Step(name, all(step.cached for step in parts), round(sum(step.seconds for step in parts), 2))
        for name, parts in groups.items()
        if parts
    )
