from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import EnvelopeArgument, Json
from model_envelope.commands.output import Line, command
from model_envelope.workflows import audit as workflow


def audit(
    envelope: EnvelopeArgument,
    advisories: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file, folder or zip of advisories in the OSV format.", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="An advisory, or a package, that is known and no harm.")
    ] = None,
    deny_licence: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="A word that no licence may contain, such as AGPL.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither services nor indexes.")] = False,
    json: Json = False,
) -> None:
    """Say what is known against the packages of an envelope.

    Asks about known vulnerabilities (pip-audit, the extra `audit`, and files of advisories), what was yanked from the
    index, licences, and packages without hashes. Ends with 3 where something is found, and with 4 where nothing is
    found, but not everything could be asked.
    """
    with command("audit", json=json) as out:
        result = workflow.audit(
            envelope,
            advisories=advisories or (),
            ignore=ignore or (),
            deny_licences=deny_licence or (),
            offline=offline,
            report=out.report,
        )
        out.finish(result, text=_text, no=result.objection())


def _text(result: workflow.AuditResult) -> Iterator[Line]:
    yield f"{result.name}  {result.digest[:12]}  {len(result.packages)} packages"
    kinds = {"vulnerabilities": workflow.Kind.VULNERABILITY, "yanked": workflow.Kind.YANKED}
    for asked in result.asked:
        if asked.question in kinds:
            found = sum(item.kind is kinds[asked.question] for item in result.findings)
            yield f"{asked.question:<16}{_answer(found, asked)}"
    bare = sum(item.kind is workflow.Kind.UNHASHED for item in result.findings)
    yield f"{'unhashed':<16}{bare or 'none'}"
    counted = Counter(item.licence or "not known" for item in result.packages)
    for at, (licence, count) in enumerate(sorted(counted.items(), key=lambda item: (-item[1], item[0]))):
        yield f"{'licences' if not at else '':<16}{count:>4}  {licence}"
    if result.ignored:
        yield f"{'ignored':<16}{', '.join(f'{item.package} {item.id}' for item in result.ignored)}"


def _answer(found: int, asked: workflow.Asked) -> str:
    whom = f" ({', '.join(asked.sources)})" if asked.sources else ""
    if not asked.not_asked:
        return f"{found or 'none'} found{whom}"
    reason, _ = Counter(asked.not_asked.values()).most_common(1)[0]
    silent = f"could not ask about {len(asked.not_asked)}: {reason}"
    if not asked.answered:
        return (f"{found} found{whom}; " if found else "") + silent
    return f"{found or 'none'} found in {asked.answered} packages{whom}; {silent}"
