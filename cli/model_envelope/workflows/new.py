"""Starts a project folder from a template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.progress import Done, Report, Started, silent
from model_envelope.targets.rendering import generate, templates_dir

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class Project:
    """A template that a project can start from."""

    name: str
    summary: str


@dataclass(frozen=True)
class NewResult:
    """The folder that was made, and its files, relative and sorted."""

    project: str
    path: Path
    files: tuple[str, ...]


def projects() -> tuple[Project, ...]:
    """List the templates that come with this tool."""
    folder = templates_dir() / "projects"
    return tuple(
        Project(template.parent.name, _summary(template.parent))
        for template in sorted(folder.glob("*/cookiecutter.json"))
    )


def new(project: str, *, into: Path = Path(), name: str | None = None, report: Report = silent) -> NewResult:
    """Make a folder from the template that ``project`` names: one of :func:`projects`, or the path of a template.

    The folder appears in ``into``, called ``name`` or as the template says. Raises :class:`InvalidInput` for a template
    that is not there or a name that makes no folder, and ``Refused`` where the folder exists.
    """
    template = _template(project)
    if name is not None and not NAME.fullmatch(name):
        raise InvalidInput(
            f"`{name}` cannot be the name of a project: found {_first_wrong(name)}, expected letters, digits, `.`, `_` "
            "and `-`, with a letter or a digit at both ends",
            code="new.name",
        )
    report(Started("render", f"Writing the project {template.name}"))
    path = generate(template, {} if name is None else {"slug": name}, into)
    files = tuple(sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()))
    report(Done("render", f"Wrote {path.name} with {len(files)} files"))
    return NewResult(template.name, path, files)


def _template(project: str) -> Path:
    known = [found.name for found in projects()]
    if project in known:
        return templates_dir() / "projects" / project
    own = Path(project).expanduser()
    if (own / "cookiecutter.json").is_file():
        return own.resolve()
    raise InvalidInput(
        f"there is no project template `{project}`; known are {', '.join(f'`{name}`' for name in known)}",
        code="new.unknown-project",
        hint="`envelope new` lists them; the path of a folder with a `cookiecutter.json` works too",
    )


def _summary(template: Path) -> str:
    """Give the first sentence of the README that the template renders."""
    for readme in template.glob("*cookiecutter*/README.md"):
        for paragraph in readme.read_text(encoding="utf-8").split("\n\n"):
            if paragraph.strip() and not paragraph.startswith(("#", "```", "<", "[")):
                sentence = re.match(r".+?[.?!](?=\s|$)", " ".join(paragraph.split()))
                return sentence.group() if sentence else " ".join(paragraph.split())
    return ""


def _first_wrong(name: str) -> str:
    if not name:
        return "nothing"
    wrong = re.search(r"[^A-Za-z0-9._-]", name)
    return f"`{wrong.group()}`" if wrong else f"`{name[0]}` and `{name[-1]}` at its ends"
