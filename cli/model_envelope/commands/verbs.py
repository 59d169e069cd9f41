"""The table of commands, and the first page of help, which is drawn from it without importing any of them."""

from __future__ import annotations

from typing import NamedTuple, TextIO

from model_envelope.commands.colours import paint


class Verb(NamedTuple):
    """One command: the group that help shows it in, and the first line of its own help.

    Its function has the verb's name and stands in ``model_envelope.commands.<verb>``.
    """

    group: str
    summary: str


VERBS = {
    "new": Verb("The road", "Start a project from a template."),
    "pack": Verb("The road", "Seal a pickled model with everything that it needs."),
    "build": Verb("The road", "Build an image, and prove that it answers the same."),
    "serve": Verb("The road", "Serve an envelope over HTTP on this machine."),
    "batch": Verb("The road", "Score the rows of a table, and write the answers."),
    "inspect": Verb("Look", "Say what a pickle would load, without running it."),
    "show": Verb("Look", "Show what an envelope is, takes and gives."),
    "signature": Verb("Look", "Write a signature, as a tree or as others spell it."),
    "dependencies": Verb("Look", "Say which packages an envelope holds, and why."),
    "diff": Verb("Look", "Say whether a new envelope can replace an old one."),
    "verify": Verb("Look", "Check that an envelope is what was sealed."),
    "audit": Verb("Look", "Say what is known against the packages of an envelope."),
    "tag": Verb("Note down", "Add tags to an envelope."),
    "metric": Verb("Note down", "Add metrics to an envelope."),
    "lock": Verb("Single steps", "Lock the packages of an envelope, as a new envelope."),
    "render": Verb("Single steps", "Write the folder that an image is built from."),
    "doctor": Verb("This machine", "Say what is here, and how to get what is missing."),
    "cache": Verb("This machine", "List the clean rooms that are kept, and remove some."),
}

ABOUT = "Seal a trained model with everything that it needs, prove it, and ship it."

OPTIONS = {
    "--version": "Print the version and end.",
    "--debug": "Print tracebacks, as ENVELOPE_DEBUG=1 does.",
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": "Print completion for the current shell.",
    "--help": "Print this page and end.",
}

EPILOG = "`envelope COMMAND --help` tells more. Every command takes --json."


def root_help(stream: TextIO) -> str:
    """Write the first page of help for a stream, which may be a terminal that shows colours."""

    def heading(text: str) -> str:
        return paint(f"{text}:", "green", stream)

    def row(name: str, text: str) -> str:
        return f"  {paint(name.ljust(20), 'cyan', stream)}  {text}"

    lines = [ABOUT, "", f"{heading('Usage')} envelope [OPTIONS] COMMAND [ARGS]..."]
    group = ""
    for name, verb in VERBS.items():
        if verb.group != group:
            group = verb.group
            lines += ["", heading(group)]
        lines.append(row(name, verb.summary))
    lines += ["", heading("Options"), *(row(name, text) for name, text in OPTIONS.items()), "", EPILOG]
    return "\n".join(lines) + "\n"
