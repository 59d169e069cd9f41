"""What a target is: a folder with ``target.toml``, pins, and the cookiecutter folder of its build context."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock
from model_envelope.targets.rendering import templates_dir

SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that each target is pinned for."""


@dataclass(frozen=True)
class Target:
    """One kind of thing that an envelope can be built into.

    ``packages`` are the subpackages of this project that it carries as source, ``requirements`` the ranges of what they
    need beside the model's own packages; ``gpu`` says whether its machines have a graphics card. ``offered`` is what
    options add to these; ``options`` were chosen.
    """

    kind: str
    summary: str
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    folder: Path
    gpu: bool = False
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def with_options(self, *names: str) -> Target:
        """Give the same target with what some of its options add.

        Raises :class:`InvalidInput` (``target.option``) for one that it does not offer.
        """
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
        locks = [Lock.parse(path.read_bytes()) for path in self._pinned(python, "lock")]
        return Lock(tuple(pin for lock in locks for pin in lock.pins))

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
        return Target(
            kind=document["kind"],
            summary=document["summary"],
            packages=tuple(document["packages"]),
            requirements=tuple(document["requirements"]),
            folder=folder.resolve(),
            gpu=_flag(document, "gpu"),
            offered={name: tuple(texts) for name, texts in document.get("options", {}).items()},
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no TOML: {error}", code="target.malformed") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} lacks {error}", code="target.malformed") from None


def _flag(document: Mapping[str, Any], name: str) -> bool:
    found = document.get(name, False)
    if not isinstance(found, bool):
        raise TypeError(f"`{name} = true` or `{name} = false`, found {found!r:.60}")
    return found
