from collections.abc import Iterator

from model_envelope.commands.options import EnvelopeArgument, Json, Pairs, numbers
from model_envelope.commands.output import Line, command
from model_envelope.workflows import metric as workflow


def metric(envelope: EnvelopeArgument, metrics: Pairs, json: Json = False) -> None:
    """Add metrics to an envelope.

    A metric that is there already is corrected: the latest value is shown, the history is kept. The digest stays the
    same. Prints the latest value of every metric.
    """
    with command("metric", json=json) as out:
        out.finish(workflow.metric(envelope, metrics=numbers(metrics)), text=_text)


def _text(result: workflow.MetricResult) -> Iterator[Line]:
    for key, value in result.metrics.items():
        yield f"{key}={value}"
