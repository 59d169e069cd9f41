from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from model_envelope.commands.drawing import trees
from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, command
from model_envelope.foundation.files import human_size
from model_envelope.foundation.libraries import Library
from model_envelope.workflows import show as workflow
from model_envelope.workflows.show_image import ImageResult, is_image, show_image


def show(
    envelope: Annotated[
        str,
        typer.Argument(
            metavar="ENVELOPE",
            help="The folder of a sealed envelope, or an image by its name, id or digest. A folder comes first: "
            "docker://NAME is an image in any case.",
            show_default=False,
        ),
    ],
    json: Json = False,
) -> None:
    """Show what an envelope is, takes and gives.

    Nothing of the model is loaded, and no file is hashed: `envelope verify` does that. Of an image it is shown what its
    labels tell; nothing of it is run.
    """
    with command("show", json=json) as out:
        if is_image(envelope):
            out.finish(show_image(envelope), text=_image_text)
        else:
            out.finish(workflow.show(Path(envelope)), text=_text)


def _text(result: workflow.ShowResult) -> Iterator[Line]:
    yield from _drawn(result, _facts(result))


def _image_text(result: ImageResult) -> Iterator[Line]:
    yield from _drawn(result, _facts_of_image(result))


def _drawn(result: workflow.ShowResult | ImageResult, facts: Iterator[tuple[str, str]]) -> Iterator[Line]:
    from rich.text import Text

    yield Text.assemble((result.name, "bold"), "  ", (result.digest[:12], "yellow"))
    if result.description:
        yield result.description
    yield ""
    yield from trees(result.signature)
    yield ""
    for label, value in facts:
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


def _facts_of_image(result: ImageResult) -> Iterator[tuple[str, str]]:
    yield "python", f"{result.python} ({result.platform})"
    arrow = ["--arrow"] if "arrow" in result.options else []
    others = ",".join(name for name in result.options if name != "arrow")
    yield "target", " ".join([result.target, *arrow, *([f"--with {others}"] if others else [])])
    yield "envelope", result.digest
    yield "packages", f"lock {result.lock}"
    yield "runtime", f"{result.runtime}, of model-envelope {result.version}"
    if result.base_image:
        yield "base", "@".join(filter(None, (result.base_image, result.base_digest)))
    if result.revision:
        yield "commit", " of ".join(filter(None, (result.revision, result.source)))
    yield "image", " ".join([result.id, *result.names])
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
