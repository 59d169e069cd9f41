"""Writes a workflow for continuous integration into a project that is there already."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from model_envelope import __version__
from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Done, Report, Started, silent
from model_envelope.store.draft import check_name, suggest_name
from model_envelope.targets.rendering import generate, templates_dir
from model_envelope.workflows.checkout import read_default_branch, read_remote
from model_envelope.workflows.new import NewResult, Project

CI = Project("ci", "A workflow for GitHub Actions or GitLab that packs, verifies, builds and pushes.")
"""What `envelope new` lists beside the projects."""

SERVICES: Mapping[str, str] = MappingProxyType({"github": "GitHub Actions", "gitlab": "GitLab CI"})
"""Where workflows are for, and how people call it."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def new_ci(
    into: Path = Path(), *, service: str | None = None, name: str | None = None, report: Report = silent
) -> NewResult:
    """Write a workflow into the project in ``into``, for ``service`` (github or gitlab) or where its remote is.

    ``name`` is what the envelope will be called (default: as the folder). What the workflow says of the training, the
    model's file and its samples is what lies in the folder, else ``model.pkl`` and ``samples.parquet``.

    Raises :class:`InvalidInput` (``new.ci-service``) where nobody says which service it is for, and :class:`Refused`
    (``new.exists``) where a file that it would write is there already: nothing is written then.
    """
    project = into.expanduser().resolve()
    chosen = service or _service_of(project)
    if chosen not in SERVICES:
        raise InvalidInput(
            f"there is no workflow for `{chosen}`",
            code="new.ci-service",
            hint=f"known are {', '.join(f'`--for {known}`' for known in SERVICES)}",
        )
    variables = {
        "slug": "project",
        "name": check_name(name) if name else suggest_name(project.name) or "model",
        "model": _first(project, "*.pkl", "model.pkl"),
        "samples": _first(project, "samples.*", "samples.parquet"),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "branch": read_default_branch(project) or "main",
        "train": (project / "train.py").is_file(),
        "version": __version__,
    }
    report(Started("render", f"Writing a workflow for {SERVICES[chosen]}"))
    with scratch_folder(prefix="envelope-ci-") as scratch:
        rendered = generate(templates_dir() / "projects" / CI.name / chosen, variables, scratch)
        files = tuple(sorted(path.relative_to(rendered).as_posix() for path in rendered.rglob("*") if path.is_file()))
        if there := [file for file in files if (project / file).exists() or (project / file).is_symlink()]:
            raise Refused(
                f"{project / there[0]} is there already",
                code="new.exists",
                hint="`envelope new ci --output DIR` writes the workflow elsewhere, to be taken over by hand",
            )
        for file in files:
            (project / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(rendered / file, project / file)
    report(Done("render", f"Wrote a workflow for {SERVICES[chosen]}"))
    return NewResult(CI.name, project, files)


def _service_of(project: Path) -> str:
    """Tell from the remote of a project's checkout which service runs its workflows."""
    remote = read_remote(project)
    # `git@github.com:team/flights.git` is an address too, of ssh.
    host = (urlsplit(remote).hostname if "://" in remote else remote.partition(":")[0].rpartition("@")[2]) or ""
    found = [service for service in SERVICES if service in host]
    if len(found) == 1:
        return found[0]
    raise InvalidInput(
        f"the project's remote is {host}, which does not say whose workflows it runs"
        if host
        else f"{project} has no remote in git that says whose workflows it runs",
        code="new.ci-service",
        hint=f"say it: {' or '.join(f'`--for {known}`' for known in SERVICES)}",
    )


def _first(project: Path, pattern: str, otherwise: str) -> str:
    found = sorted(path.name for path in project.glob(pattern) if path.is_file() and _PLAIN.fullmatch(path.name))
    return found[0] if found else otherwise
