"""Answers the sealed samples as a job would, and judges nothing: what an image of jobs is proven by.

``python -m model_envelope.scoring.proving ENVELOPE`` loads the model, asks it the sample of each method as JSON and,
where its values have rows, as the table that a job reads, and prints one JSON document on standard output: ``answers``
and ``tables``, by method the ``seconds`` it took and the ``body`` that came back or the ``error``, and the ``machine``
that this is; or the ``error`` that the model could not be loaded with.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json
from model_envelope.runtime.codec.arrow.layout import PARAMETERS, columns_of, inputs
from model_envelope.runtime.codec.arrow.spelling import from_json, spelled
from model_envelope.runtime.codec.arrow.streams import decode_table, encode_arrow_arguments, read_stream
from model_envelope.runtime.ending import leave
from model_envelope.runtime.errors import EnvelopeError, ExitCode, InvalidPayload, Problems
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.predicting import BoundMethod, Predictor
from model_envelope.runtime.replay import claim_stdout
from model_envelope.scoring.scorer import Scorer
from model_envelope.scoring.tables import InvalidJob


def main() -> int:
    """Answer all samples of an envelope; see the module."""
    parser = argparse.ArgumentParser(description="Answer the sealed samples of an envelope as a job would.")
    parser.add_argument("envelope", type=Path)
    answer = claim_stdout()
    try:
        predictor = Predictor.open(parser.parse_args().envelope)
    except EnvelopeError as error:
        answer({"error": error.to_document()})
        return ExitCode.FAILED
    answers, tables = {}, {}
    for sample in predictor.envelope.samples:
        bound = predictor.methods[sample.method]
        answers[sample.method] = _timed(partial(bound.answer, sample.body))
        if (ask := as_table(bound, sample.body)) is not None:
            tables[sample.method] = _timed(ask)
    answer({"answers": answers, "tables": tables, "machine": Machine.of_this_process().to_document()})
    return ExitCode.OK


def as_table(bound: BoundMethod, body: Any) -> Callable[[], Any] | None:
    """Give what asks a method a request as a table and spells the answer as JSON does; None where no job can ask it."""
    try:
        scorer = Scorer(bound)
        batch = _row(scorer, body) if scorer.by_row else _rows(bound.codec, body)
        if batch is not None and (said := (batch.schema.metadata or {}).get(PARAMETERS)):
            scorer = Scorer(bound, parameters=json.loads(said))
    except (InvalidJob, InvalidPayload):
        return None
    if batch is None or set(scorer.columns) - set(batch.schema.names):
        return None
    return lambda: _as_json(bound, scorer, scorer.score(batch))


def _rows(codec: MethodCodec, body: Any) -> pa.RecordBatch | None:
    """Write a request whose values have rows as a table; None where there is not one row at least."""
    variadic = {s.Kind.VARIADIC, s.Kind.VARIADIC_KEYWORD}
    if any(parameter.kind in variadic and name in body for name, (parameter, _) in codec.parameters.items()):
        return None
    problems = Problems()
    values = {
        name: one.decode(body[name], f"$.{name}", problems)
        for name, (_, one) in codec.parameters.items()
        if name in body
    }
    batches = read_stream(encode_arrow_arguments(codec, values)).combine_chunks().to_batches()
    return batches[0] if batches else None


def _row(scorer: Scorer, body: Any) -> pa.RecordBatch | None:
    """Write a request without rows as a table of one; None where it leaves out what a table has to have."""
    kinds = {item.name: item.type for item in scorer.method.parameters}
    if not scorer.columns or set(scorer.columns) - set(body):
        return None
    return pa.RecordBatch.from_pydict({name: from_json([body[name]], kinds[name]) for name in scorer.columns})


def _as_json(bound: BoundMethod, scorer: Scorer, answers: pa.RecordBatch) -> Any:
    kind = bound.signature.returns
    if scorer.by_row:
        return spelled(answers.column(0), kind, null_is_nan=False)[0]
    reading = s.Method((s.Parameter("answer", kind),), kind)
    if columns_of(kind) is None or not inputs(reading).alone:
        answers = answers.rename_columns(["answer"])
    taken = decode_table(MethodCodec(reading, bound.codec.definitions), answers)
    (value,) = (*taken.positional, *taken.keyword.values())
    return bound.encode(value)


def _timed(ask: Callable[[], Any]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        told: dict[str, Any] = {"body": dump_json(ask()).decode()}
    except EnvelopeError as error:
        told = {"error": error.to_document()}
    return {"seconds": time.perf_counter() - began, **told}


if __name__ == "__main__":
    leave(main())
