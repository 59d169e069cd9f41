"""The Typer application: loads the one command that is asked for, and runs it to an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from model_envelope import __version__
from model_envelope.commands import output
from model_envelope.commands.colours import paint
from model_envelope.commands.translation import misuse
from model_envelope.commands.verbs import ABOUT, OPTIONS, VERBS, root_help
from model_envelope.runtime.errors import ExitCode

# Typer 0.26 and newer carry click inside, older ones import it: either way this is the root of what its parser raises.
ParserError: type[Exception] = typer.BadParameter.__mro__[2]

_HEADING = re.compile(r"^[A-Z]\w+:", re.MULTILINE)
_NAME = re.compile(r"(?<=^  )(-\S+(, -\S+)*|\S+(?=( <.+?>)?  ))", re.MULTILINE)


class Command(TyperCommand):
    """One command, with plain help whose headings and options are coloured on a terminal."""

    def get_help(self, ctx: Any) -> str:
        """Write the help of this command."""
        # Older versions of Typer escape brackets for rich even where rich is not to draw.
        text = str(super().get_help(ctx)).replace("\\[", "[")
        text = _HEADING.sub(lambda found: paint(found[0], "green", sys.stdout), text)
        return _NAME.sub(lambda found: paint(found[0], "cyan", sys.stdout), text)


class Verbs(TyperGroup):
    """The group of all commands. A command's module is imported when the command is asked for, and no other is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Only the names count here: what is suggested for a mistyped command comes from the keys.
        self.commands = dict.fromkeys(VERBS)  # type: ignore[assignment]
        self._names_only = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the signature is Typer's
        """Name the commands in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  the signature is Typer's
        """Import one command."""
        if cmd_name not in VERBS:
            return None
        if self._names_only:
            return Command(cmd_name, help=VERBS[cmd_name].summary)
        if self.commands[cmd_name] is None:
            function = getattr(import_module(f"model_envelope.commands.{cmd_name}"), cmd_name)
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(cmd_name, cls=Command)(function)
            self.commands[cmd_name] = get_command(alone)
        return self.commands[cmd_name]

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the name of a command from the table."""
        self._names_only = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._names_only = False

    def get_help(self, ctx: Any) -> str:  # noqa: ARG002  the signature is Typer's
        """Write the first page of help."""
        return root_help(sys.stdout).rstrip("\n")


application = typer.Typer(cls=Verbs, help=ABOUT, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"envelope {__version__}")
        raise typer.Exit


@application.callback()
def _root(
    version: Annotated[  # noqa: ARG001  answered by its callback
        bool, typer.Option("--version", help=OPTIONS["--version"], callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=OPTIONS["--debug"])] = False,
) -> None:
    if debug:
        os.environ["ENVELOPE_DEBUG"] = "1"


def run(words: Sequence[str]) -> int:
    """Run the command line and give its exit code. Whatever goes wrong is told by :mod:`.output`."""
    group: Any = get_command(application)
    if "_ENVELOPE_COMPLETE" in os.environ:
        group.main(list(words), prog_name="envelope")
    asked = output.Asked.of(words, VERBS)
    if not words:
        sys.stderr.write(root_help(sys.stderr))
        return ExitCode.USAGE
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with group.make_context("envelope", list(words)) as context:
            group.invoke(context)
        sys.stdout.flush()
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except ParserError as error:
        return output.tell(misuse(error), asked)
    except SystemExit:
        raise
    except BrokenPipeError:
        return output.reader_gone()
    except BaseException as error:  # noqa: BLE001  this is the one place where every error ends
        return output.tell(error, asked)
    finally:
        signal.signal(signal.SIGTERM, before)
    return ExitCode.OK
