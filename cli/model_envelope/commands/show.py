from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_envelope.commands.drawing import trees
from model_envelope.commands.options import EnvelopeArgument, Json
from model_envelope.commands.output import Line, command
from model_envelope.foundation.files import human_size
from model_envelope.foundation.libraries import Library
from model_envelope.workflows import show as workflow


def show(envelope: EnvelopeArgument, json: Json = False) -> None:
    """Show what an envelope is, takes and gives.

    Nothing of the model is loaded, and no file is hashed: `envelope verify` does that.
    """
    with command("show", json=json) as out:
        out.finish(workflow.show(envelope), text=_text)


def _text(result: workflow.ShowResult) -> Iterator[Line]:
    from rich.text import Text

    yield Text.assemble((result.name, "bold"), "  ", (result.digest[:12], "yellow"))
    if result.description:
        yield result.description
    yield ""
    yield from trees(result.signature)
    yield ""
    for label, value in _facts(result):
        yield Text.assemble((label.ljust(14), "dim"), value)


def _facts(result: workflow.ShowResult) -> Iterator[tuple[str, str]]:
    yield "python", f"{result.python} ({result.implementation}, {result.platform})"
    if result.framework:
        yield "framework", " ".join(result.framework.values())
    locked = "locked" if result.locked else "not locked: `envelope lock` does it"
    yield "packages", f"{', '.join(result.dependencies) or 'none'} ({locked})"
    if result.system:
        yield "system", _system(result.system)
    if result.code:
        yield "code", ", ".join(result.code)
    yield "samples", ", ".join(result.samples) or "none"
    if result.attachments:
        yield "attachments", ", ".join(result.attachments)
    for label, values in (
        ("parameters", result.hyperparameters),
        ("tags", result.tags),
        ("metrics", result.metrics),
    ):
        if values:
            yield label, _pairs(values)
    yield "size", human_size(result.size)


def _system(libraries: Sequence[Library]) -> str:
    packages: dict[str, list[str]] = {}
    for item in libraries:
        packages.setdefault(item.package or "unknown", []).append(item.soname)
    return ", ".join(f"{package} ({', '.join(sonames)})" for package, sonames in packages.items())


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )
