"""What a target is: a folder with ``target.toml`` and pins.

Images of all targets are made by one Dockerfile (``templates/image``), from the facts in ``target.toml``; a target that
brings a cookiecutter folder of its own is rendered from that. Targets that make files (``[settings]``) always do.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.targets.rendering import inner_folders, templates_dir

_WORD = re.compile(r"[A-Za-z0-9./:_+-]+")
_SETTING = re.compile(r"[a-z][a-z0-9-]*")

SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that each target is pinned for."""


@dataclass(frozen=True)
class Image:
    """What the shared Dockerfile makes of a target.

    ``title`` is what the image is (``a web service``), ``code`` names the layer of the code that it carries,
    ``entrypoint`` and ``healthcheck`` are arguments of the image's Python; ``remark`` says what whoever runs it should
    know. ``port`` is where a service listens, 0 for a job, which is asked nothing. ``libraries`` and ``programs`` are
    those that it needs of the system, each with the Debian package that brings it.
    """

    title: str = "an image"
    code: str = "runtime"
    remark: str = ""
    entrypoint: tuple[str, ...] = ()
    port: int = 0
    healthcheck: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A value that a target of files is rendered with: ``choices`` are all that it may be, where there are few."""

    about: str
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Target:
    """One kind of thing that an envelope can be built into.

    ``packages`` are the subpackages of this project that it carries as source, ``requirements`` the ranges of what they
    need beside the model's own packages; ``gpu`` says whether its machines have a graphics card. ``offered`` is what
    options add to these; ``options`` were chosen. ``settings`` are there for a target that makes files and no image;
    ``runs`` is the target whose images these run, ``next`` what to do with them (``{folder}`` is where they are).
    """

    kind: str
    summary: str
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    folder: Path
    gpu: bool = False
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    image: Image = field(default_factory=Image)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    runs: str = ""
    next: str = ""

    @property
    def template(self) -> Path:
        """The cookiecutter template that it is rendered from: its own, else the shared one of images."""
        return self.folder if inner_folders(self.folder) else templates_dir() / "image"

    @property
    def makes_image(self) -> bool:
        """Whether an image is built from what is rendered: else it is files for another program."""
        return not self.settings

    @property
    def serves(self) -> bool:
        """Whether a container of it listens, and is asked; else it does its job and ends."""
        return bool(self.image.port or not self.image.entrypoint)

    def with_options(self, *names: str) -> Target:
        """Give the same target with what some of its options add.

        Raises :class:`InvalidInput` (``target.option``) for one that it does not offer.
        """
        names = tuple(dict.fromkeys(names))
        for name in names:
            if name not in self.offered:
                raise InvalidInput(
                    f"the target `{self.kind}` has no option `{name}`",
                    code="target.option",
                    hint=f"it has {', '.join(f'`{known}`' for known in self.offered) or 'none'}",
                )
        more = tuple(text for name in names for text in self.offered[name])
        return replace(self, requirements=(*self.requirements, *more), options=(*self.options, *names))

    def pins(self, python: str) -> Lock:
        """Give the exact versions for a Python (``3.11``) that this release was made with.

        Raises :class:`InvalidInput` (``target.python``) for a Python that the target is not pinned for.
        """
        found: dict[str, tuple[Pin, ...]] = {}
        for path in self._pinned(python, "lock"):
            pins: dict[str, tuple[Pin, ...]] = {}
            for pin in Lock.parse(path.read_bytes()).pins:
                pins[pin.name] = (*pins.get(pin.name, ()), pin)
            # Two options may bring the same package: where one needs it for some platforms only, the other's counts.
            found |= {name: own for name, own in pins.items() if name not in found or not own[0].marker}
        return Lock(tuple(pin for own in found.values() for pin in own))

    def requires(self, python: str) -> Mapping[str, tuple[str, ...]]:
        """Give what each pinned distribution requires in turn, by canonical name."""
        documents = [json.loads(path.read_bytes()) for path in self._pinned(python, "requires.json")]
        return {name: tuple(needs) for document in documents for name, needs in document.items()}

    def _pinned(self, python: str, ending: str) -> list[Path]:
        """Give the files of a Python: that of the target, and one for each option."""
        pins = self.folder / "pins"
        found = [pins / f"{python}.{ending}", *(pins / f"{python}.{option}.{ending}" for option in self.options)]
        if not all(path.is_file() for path in found):
            known = ", ".join(sorted(item.stem for item in pins.glob("*.lock") if item.stem.count(".") == 1)) or "none"
            raise InvalidInput(
                f"the target `{self.kind}` is not pinned for Python {python}, which the envelope was packed with",
                code="target.python",
                hint=f"it is pinned for Python {known}; pack the model with one of these",
            )
        return found


def find_target(name: str) -> Target:
    """Give a target by its kind (``service``), or by the path of its folder.

    Raises :class:`InvalidInput` (``target.unknown``) that names the known ones.
    """
    folder = templates_dir() / "targets" / name
    if "/" in name:
        folder = Path(name).expanduser()
    if not (folder / "target.toml").is_file():
        known = ", ".join(f"`{target.kind}`" for target in all_targets())
        raise InvalidInput(
            f"there is no target `{name}`",
            code="target.unknown",
            hint=f"known: {known}; or name a folder of your own that holds a target.toml (`./{Path(name).name}`)",
        )
    return _read(folder)


def all_targets() -> tuple[Target, ...]:
    """List the targets that this release ships."""
    return tuple(_read(path.parent) for path in sorted((templates_dir() / "targets").glob("*/target.toml")))


def _read(folder: Path) -> Target:
    path = folder / "target.toml"
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        settings = document.get("settings", {})
        return Target(
            kind=document["kind"],
            summary=document["summary"],
            packages=tuple(document.get("packages", ()) if settings else document["packages"]),
            requirements=tuple(document.get("requirements", ()) if settings else document["requirements"]),
            folder=folder.resolve(),
            gpu=_flag(document, "gpu"),
            offered={name: tuple(texts) for name, texts in document.get("options", {}).items()},
            image=_image(document.get("image", {})),
            settings={name: _setting(name, about) for name, about in settings.items()},
            runs=document.get("runs", ""),
            next=document.get("next", ""),
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no TOML: {error}", code="target.malformed") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} lacks {error}", code="target.malformed") from None


def _image(document: Mapping[str, Any]) -> Image:
    """Read ``[image]``. What ends up in a Dockerfile as it stands is held against what may stand there."""
    found = Image(
        **{
            **document,
            "entrypoint": tuple(document.get("entrypoint", ())),
            "healthcheck": tuple(document.get("healthcheck", ())),
        }
    )
    tables = (found.environment, found.libraries, found.programs)
    words: list[Any] = [found.code, *(word for table in tables for pair in table.items() for word in pair)]
    for word in words:
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise TypeError(f"words of letters, digits and `./:_+-` in [image], found {word!r:.60}")
    return found


def _setting(name: str, about: Mapping[str, Any]) -> Setting:
    found = Setting(**{**about, "choices": tuple(about.get("choices", ()))})
    if not _SETTING.fullmatch(name):
        raise TypeError(f"settings whose names are lower case, found {name!r:.60}")
    return found


def _flag(document: Mapping[str, Any], name: str) -> bool:
    found = document.get(name, False)
    if not isinstance(found, bool):
        raise TypeError(f"`{name} = true` or `{name} = false`, found {found!r:.60}")
    return found
