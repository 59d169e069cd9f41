from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, command
from model_envelope.workflows import new as workflow


def new(
    project: Annotated[
        str | None,
        typer.Argument(
            metavar="PROJECT",
            help="A template's name, or the folder of a cookiecutter template. Without it the templates are listed.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the project's folder appears.")
    ] = Path(),
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What the folder is called. Default: as the template says.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start a project from a template.

    Writes a new folder and prints its path. A folder that exists is left alone.
    """
    with command("new", json=json) as out:
        if project is None:
            found = workflow.projects()
            out.finish(found, text=_list, document={"projects": [vars(each) for each in found]})
            return
        result = workflow.new(project, into=into, name=name, report=out.report)
        out.finish(result, text=lambda made: [str(made.path)])
        if "README.md" in result.files:
            out.say(f"Next: {result.path / 'README.md'} says what to do.")


def _list(projects: tuple[workflow.Project, ...]) -> Iterator[Line]:
    width = max((len(project.name) for project in projects), default=0)
    for project in projects:
        yield f"{project.name.ljust(width)}  {project.summary}".rstrip()
