from collections.abc import Iterator

from model_envelope.commands.options import EnvelopeArgument, Json, Pairs, pairs
from model_envelope.commands.output import Line, command
from model_envelope.workflows import tag as workflow


def tag(envelope: EnvelopeArgument, tags: Pairs, json: Json = False) -> None:
    """Add tags to an envelope.

    A later value takes the place of an earlier one, and `KEY=` takes the tag away. The digest stays the same: tags
    stand beside what is sealed. Prints all tags that the envelope has now.
    """
    with command("tag", json=json) as out:
        out.finish(workflow.tag(envelope, tags=pairs(tags)), text=_text)


def _text(result: workflow.TagResult) -> Iterator[Line]:
    for key, value in result.tags.items():
        yield f"{key}={value}"
