import sys
from collections.abc import Iterator

from model_envelope.commands.colours import paint
from model_envelope.commands.options import Json
from model_envelope.commands.output import Line, command
from model_envelope.workflows import doctor as workflow


def doctor(json: Json = False) -> None:
    """Say what is here, and how to get what is missing.

    Nothing of it is needed for everything: without an engine envelopes are packed, proved and served all the same.
    """
    with command("doctor", json=json) as out:
        out.finish(workflow.doctor(), text=_text)


def _text(result: workflow.DoctorResult) -> Iterator[Line]:
    width = max(len(check.name) for check in result.checks)
    for check in result.checks:
        mark = paint("ok     ", "green", sys.stdout) if check.ok else paint("missing", "yellow", sys.stdout)
        yield f"{mark}  {check.name.ljust(width)}  {check.found}"
        if not check.ok and check.advice:
            yield f"{' ' * (width + 11)}{check.advice}"
