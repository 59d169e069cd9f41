from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from model_envelope.commands.options import EnvelopeArgument, Json
from model_envelope.commands.output import Line, command
from model_envelope.foundation.files import human_size
from model_envelope.workflows import dependencies as workflow

WIDTH = 80
"""How long a line of names gets before the rest is counted."""


def dependencies(
    envelope: EnvelopeArgument,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every reason, and name each package that was left out.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which packages an envelope holds, and why.

    Below each direct need stands where it is seen, and what comes along with it; then, by reason, what was left out.
    Sizes are those of the installed files, without bytecode.
    """
    with command("dependencies", json=json) as out:
        result = workflow.dependencies(envelope)
        out.finish(result, text=lambda found: _text(found, everything=everything))


def _text(result: workflow.DependenciesResult, *, everything: bool) -> Iterator[Line]:
    from rich.text import Text

    yield Text.assemble((result.name, "bold"), "  ", (result.digest[:12], "yellow"))
    yield _summary(result)
    if not result.locked:
        yield Text("not locked: `envelope lock` does it; what comes along is that of the packing environment")
    yield ""
    yield from _trees(result, everything=everything)
    if result.local:
        yield ""
        yield Text.assemble(("code".ljust(14), "dim"), ", ".join(result.local))
    for line in result.unknown:
        yield ""
        yield Text.assemble(("not known".ljust(14), "dim"), line)
    if result.left_out:
        yield ""
        yield from _left_out(result, everything=everything)


def _summary(result: workflow.DependenciesResult) -> str:
    direct = sum(item.direct for item in result.packages)
    if not result.packages:
        return "no packages: Python alone is enough"
    counted = f"{_count(direct, 'direct need')}, {_count(len(result.packages), 'package')} with all that comes along"
    if not result.size:
        return counted
    least = "at least " if any(item.size is None for item in result.packages) else ""
    return f"{counted}, {least}{human_size(result.size)}"


def _trees(result: workflow.DependenciesResult, *, everything: bool) -> Iterator[Any]:
    """Draw a tree a direct need; each package stands once, below the first that brings it."""
    from rich.text import Text
    from rich.tree import Tree

    grown: dict[str, Tree] = {}
    for item in sorted(result.packages, key=lambda item: (len(item.chain), item.name)):
        if item.direct:
            grown[item.name] = Tree(_label(item, "bold cyan"), guide_style="dim")
            for reason in item.reasons if everything else _first_of_each_kind(item.reasons):
                grown[item.name].add(Text(reason, "dim"))
        elif item.chain:
            grown[item.name] = grown[item.chain[-2]].add(_label(item))
    yield from (grown[item.name] for item in result.packages if item.direct)
    if lost := [item for item in result.packages if not item.direct and not item.chain]:
        tree = Tree(Text("through whom is not known", "bold"), guide_style="dim")
        for item in lost:
            tree.add(_label(item))
        yield tree


def _label(item: workflow.Dependency, style: str = "") -> Any:
    from rich.text import Text

    size = "" if item.size is None else f"  {human_size(item.size)}"
    return Text.assemble((f"{item.name} {item.version}".rstrip(), style), (size, "dim"))


def _first_of_each_kind(reasons: Iterable[str]) -> Iterator[str]:
    """Give `pickle: a.B and 3 more` for four names of the pickle."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for reason in reasons:
        kinds[reason.partition(" ")[0]].append(reason)
    for first, *others in kinds.values():
        yield first + (f" and {len(others)} more" if others else "")


def _left_out(result: workflow.DependenciesResult, *, everything: bool) -> Iterator[Line]:
    from rich.text import Text

    reasons: dict[str, list[str]] = defaultdict(list)
    for item in result.left_out:
        reasons[item.reason].append(f"{item.name} {item.version}" if everything else item.name)
    more = "" if everything else " (`--all` names each)"
    yield Text(f"left out: {_count(len(result.left_out), 'package')}{more}", "bold")
    # What is rare was decided; the long list of what nobody uses comes last.
    for reason, names in sorted(reasons.items(), key=lambda group: (len(group[1]), group[0])):
        yield _indented(reason, 2)
        for line in names if everything else [_shortened(names, WIDTH - 4)]:
            yield _indented(line, 4, "dim")


def _indented(text: str, by: int, style: str = "") -> Any:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style), (0, 0, 0, by), expand=False)


def _shortened(names: list[str], width: int) -> str:
    """List as many names as a line takes, and count the others."""
    for shown in range(len(names), 1, -1):
        more = f" and {len(names) - shown} more" if shown < len(names) else ""
        if len(line := ", ".join(names[:shown]) + more) <= width:
            return line
    return names[0] + (f" and {len(names) - 1} more" if names[1:] else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
