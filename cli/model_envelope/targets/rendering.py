"""Renders cookiecutter templates: build contexts of targets and the folders that ``envelope new`` scaffolds.

Cookiecutter's own high-level function reads and writes files in HOME, puts absolute paths into the context and drops
keys that ``cookiecutter.json`` does not list. So its ``generate_files`` is called with an explicit context and without
hooks: the same template and context give the same bytes and modes, whoever renders where.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.foundation.files import scratch_folder

PACKAGE = Path(__file__).resolve().parent.parent
LEFT_OUT = ("__pycache__", "*.pyc", ".DS_Store")
"""What never belongs to a template: installing the wheel compiles the Python files that templates hold."""
ALWAYS_COPIED = ("*.py",)
"""Python in a template is plain valid Python: copied, never rendered."""


def templates_dir() -> Path:
    """Give the folder of templates: beside the package where it is installed, else the checkout's own.

    Raises :class:`InvalidInput` where there is neither.
    """
    checkout = PACKAGE.parent.parent / "templates"
    # An editable install leaves a stale copy of the installed folder in site-packages, never beside this file.
    for folder in (PACKAGE / "templates", checkout):
        if (folder / "targets").is_dir():
            return folder
    raise InvalidInput(
        f"the templates are missing: neither {PACKAGE / 'templates'} nor {checkout} is there",
        code="template.missing",
        hint="install the package again: `pip install --force-reinstall model-envelope`",
    )


def generate(template: Path, context: Mapping[str, Any], into: Path) -> Path:
    """Render a cookiecutter template into a new folder in ``into`` and give that folder.

    ``context`` holds the variables (``{"slug": "flights"}``); those that it leaves out have their default from the
    template's ``cookiecutter.json``. The folder appears whole or not at all.

    Raises :class:`InvalidInput` for a template that cannot be read, has an undefined variable or a path that leads out
    of the folder, and :class:`Refused` where the folder exists.
    """
    source = _template_folder(template)
    variables = _variables(template, context)
    into.mkdir(parents=True, exist_ok=True)
    with scratch_folder(into, prefix=".rendering-") as scratch:
        staged = scratch / "template" / source.name
        shutil.copytree(source, staged, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        name = _check_paths(staged, variables)
        target = into / name
        if target.exists() or target.is_symlink():
            raise Refused(
                f"{target} exists already",
                code="template.exists",
                hint="name another folder, or remove this one first",
            )
        rendered = _generate(staged.parent, variables, scratch / "rendered")
        _normalise_modes(rendered)
        rendered.rename(target)
    return target


def inner_folders(template: Path) -> list[Path]:
    """Give the folders of a template that are rendered: a template has one."""
    return sorted(template.glob("*{{*cookiecutter*}}*")) if template.is_dir() else []


def _template_folder(template: Path) -> Path:
    found = inner_folders(template)
    if len(found) != 1 or not found[0].is_dir():
        raise InvalidInput(
            f"{template} is no cookiecutter template: it holds {len(found)} folders named like "
            "`{{cookiecutter.slug}}`, expected one",
            code="template.malformed",
        )
    return found[0]


def _variables(template: Path, context: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the given variables with the template's defaults, which may refer to variables before them."""
    document = template / "cookiecutter.json"
    try:
        defaults = json.loads(document.read_bytes()) if document.is_file() else {}
    except ValueError as error:
        raise InvalidInput(f"{document} is no JSON: {error}", code="template.malformed") from None
    variables = {**{key: value for key, value in defaults.items() if key.startswith("_")}, **context}
    for key, default in defaults.items():
        if key not in variables:
            first = default[0] if isinstance(default, list) and default else default
            variables[key] = _render(first, variables, f"cookiecutter.json: {key}") if isinstance(first, str) else first
    variables["_copy_without_render"] = [*ALWAYS_COPIED, *variables.get("_copy_without_render", ())]
    return variables


def _check_paths(folder: Path, variables: Mapping[str, Any]) -> str:
    """Render every path of a template, refuse those that lead out of its folder, and give the folder's own name."""
    paths = [folder, *sorted(folder.rglob("*"))]
    for path in paths:
        relative = path.relative_to(folder.parent).as_posix()
        rendered = PurePosixPath(_render(relative, variables, relative))
        if path.is_symlink():
            raise InvalidInput(f"`{relative}` in the template is a link, expected a plain file", code="template.link")
        depth = len(PurePosixPath(relative).parts)
        if rendered.is_absolute() or ".." in rendered.parts or len(rendered.parts) != depth:
            raise InvalidInput(
                f"`{relative}` in the template becomes `{rendered}`, which leads out of its folder",
                code="template.path",
                hint="a name in a template may not render to nothing, to `..` or to something with a slash",
            )
    return _render(folder.name, variables, folder.name)


def _generate(template: Path, variables: Mapping[str, Any], into: Path) -> Path:
    from cookiecutter.exceptions import CookiecutterException, UndefinedVariableInTemplate
    from cookiecutter.generate import generate_files
    from jinja2 import TemplateError

    try:
        return Path(generate_files(template, {"cookiecutter": dict(variables)}, into, accept_hooks=False))
    except UndefinedVariableInTemplate as error:
        raise _undefined(str(error.message).removeprefix("Unable to create "), error.error.message) from None
    except TemplateError as error:
        place = f"{getattr(error, 'filename', None) or template.name}, line {getattr(error, 'lineno', '?')}"
        raise InvalidInput(f"{place} cannot be rendered: {error.message}", code="template.malformed") from None
    except CookiecutterException as error:
        raise InvalidInput(f"{template.name} cannot be rendered: {error}", code="template.malformed") from None


def _render(text: str, variables: Mapping[str, Any], place: str) -> str:
    from cookiecutter.environment import StrictEnvironment
    from jinja2 import TemplateError, UndefinedError

    try:
        environment = StrictEnvironment(context={"cookiecutter": dict(variables)})
        return str(environment.from_string(text).render(cookiecutter=dict(variables)))
    except UndefinedError as error:
        raise _undefined(place, error.message or "") from None
    except TemplateError as error:
        raise InvalidInput(f"{place} cannot be rendered: {error.message}", code="template.malformed") from None


def _undefined(place: str, message: str) -> InvalidInput:
    return InvalidInput(
        f"{place} in the template uses a variable that nobody gave: {message}",
        code="template.undefined-variable",
        hint="give it, or a default for it in the template's cookiecutter.json",
    )


def _normalise_modes(folder: Path) -> None:
    """Set modes that do not depend on the umask or on how the template was installed."""
    for path in _inside(folder):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)


def _inside(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")
