from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, Misuse, command
from model_envelope.workflows import new as workflow
from model_envelope.workflows import new_ci


def new(
    project: Annotated[
        str | None,
        typer.Argument(
            metavar="PROJECT",
            help="A template's name, the folder of a cookiecutter template, or `ci` for a workflow in a project. "
            "Without it the templates are listed.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Where the project's folder appears; for `ci` the project."),
    ] = Path(),
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the folder is called; for `ci` the envelope. Default: as the template says.",
            show_default=False,
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="SERVICE",
            help="Whose workflow `ci` writes: github or gitlab. Default: where the project's remote is.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start a project from a template.

    Writes a new folder and prints its path. A folder that exists is left alone. With `ci` it writes a workflow for
    continuous integration into a project, and prints the path of that; a file that exists is left alone.
    """
    if service is not None and project != new_ci.CI.name:
        raise Misuse("`--for` goes with `envelope new ci` alone", code="usage.for")
    with command("new", json=json) as out:
        if project is None:
            found = (*workflow.projects(), new_ci.CI)
            out.finish(found, text=_list, document={"projects": [vars(each) for each in found]})
            return
        if project == new_ci.CI.name:
            result = new_ci.new_ci(into, service=service, name=name, report=out.report)
            out.finish(result, text=lambda made: [str(made.path / file) for file in made.files])
            out.say("Next: commit it. What it packs, and where to, stands at its top.")
            return
        result = workflow.new(project, into=into, name=name, report=out.report)
        out.finish(result, text=lambda made: [str(made.path)])
        if "README.md" in result.files:
            out.say(f"Next: {result.path / 'README.md'} says what to do.")


def _list(projects: tuple[workflow.Project, ...]) -> Iterator[Line]:
    width = max((len(project.name) for project in projects), default=0)
    for project in projects:
        yield f"{project.name.ljust(width)}  {project.summary}".rstrip()
