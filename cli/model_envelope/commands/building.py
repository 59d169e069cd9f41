"""Draws what came of a build, to be read in ten seconds: sizes by layer, what is largest and why, and the time."""

from __future__ import annotations

from collections.abc import Iterator

from model_envelope.commands.output import Line
from model_envelope.foundation.files import human_size
from model_envelope.targets.build_log import BASE, PACKAGES
from model_envelope.targets.layers import Layer
from model_envelope.workflows.build_report import BuildResult, Package

_LARGEST = 5


def summary(result: BuildResult) -> Iterator[Line]:
    """Draw a result."""
    if result.unchanged:
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    packages = result.packages[:_LARGEST]
    # Where a terminal is narrow, it is the reasons that are cut short, never a size.
    names = [*(layer.name for layer in result.layers), "largest package", *map(_versioned, packages)]
    sizes = [result.size, *(layer.size for layer in result.layers), *(package.size for package in packages)]
    table.add_column(no_wrap=True, min_width=max(map(len, names)))
    table.add_column(justify="right", no_wrap=True, min_width=max(len(human_size(size)) for size in sizes))
    table.add_column(no_wrap=True, overflow="ellipsis")
    compared = any(layer.new is not None for layer in result.layers)
    since = "beside the image that had this name before" if compared else ""
    yield ""
    table.add_row(*(Text(word, "dim") for word in ("layer", "size", since)))
    for layer in result.layers:
        if layer.size:
            about = ", ".join(_about(result, layer))
            table.add_row(layer.name, human_size(layer.size), Text(about, "bold" if layer.new else ""))
    table.add_row("in all", Text(human_size(result.size), "bold"), f"{human_size(result.added)} above the base image")
    if result.packages:
        table.add_row("")
        table.add_row(*(Text(word, "dim") for word in ("largest package", "size", "why")))
        for package in packages:
            table.add_row(_versioned(package), human_size(package.size), package.reason)
    yield table
    yield ""
    yield f"time: {result.seconds:.1f} s ({_times(result)})"
    if result.log is not None:
        yield f"log: {result.log}"


def _versioned(package: Package) -> str:
    return f"{package.name} {package.version}"


def _about(result: BuildResult, layer: Layer) -> Iterator[str]:
    if layer.new is not None:
        yield "new" if layer.new else "the same"
    if layer.name == BASE:
        yield result.base_image
    if layer.name == PACKAGES and result.packages:
        yield f"{len(result.packages)} packages"
        if pruned := sum(package.pruned for package in result.packages):
            yield f"{human_size(pruned)} pruned"


def _times(result: BuildResult) -> str:
    took = [f"{step.name} {step.seconds:.1f} s" for step in result.steps if not step.cached and step.seconds >= 0.05]
    cached = [step.name for step in result.steps if step.cached]
    return ", ".join(took) + (f"; cached: {', '.join(cached)}" if cached else "")
