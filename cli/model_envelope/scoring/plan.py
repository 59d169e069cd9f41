"""What a job comes down to before a row is read: the method, the columns in and out, what makes it the same job."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, cast

import pyarrow as pa

from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import Problem
from model_envelope.runtime.predicting import BoundMethod, Predictor
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import Location
from model_envelope.scoring.scorer import Scorer
from model_envelope.scoring.tables import Changed, InvalidJob, InvalidTable, Wanted

_TEXT = frozenset({"csv", "jsonl"})
"""Formats whose columns have the type that is wanted, not one of their own."""
_WRITERS: Mapping[str, tuple[str, ...]] = {
    "delta": ("pyarrow", "deltalake"),
    "sql": ("pyarrow", "adbc-driver-manager", "sqlalchemy"),
}


class Columns(Protocol):
    """What a plan wants to know of a source."""

    def schema(self) -> pa.Schema:
        """Give all columns that it has."""
        ...


@dataclass(frozen=True)
class Plan:
    """``answers`` says how each column of the answers is called in the output; ``schema`` is that of the output.

    ``row_wise`` says that a row's answer depends on that row alone, so that rows can be asked in any batches.
    """

    method: str
    scorer: Scorer
    row_wise: bool
    keep: tuple[str, ...]
    answers: Mapping[str, str]
    wanted: Wanted
    schema: pa.Schema


def bound_method(predictor: Predictor, name: str) -> BoundMethod:
    """Find the method that a job names. Raises :class:`InvalidJob`."""
    methods = predictor.methods
    chosen = name or ("predict" if "predict" in methods else next(iter(methods)) if len(methods) == 1 else "")
    if chosen not in methods:
        raise InvalidJob(
            f"the envelope has no method `{chosen}`" if chosen else "the envelope has several methods, none `predict`",
            code="job.method",
            hint=f"name one of {', '.join(methods)} with --method",
        )
    return methods[chosen]


def make_scorer(job: Job, predictor: Predictor) -> tuple[Scorer, Mapping[str, str]]:
    """Make what asks the model, and say what each column of its answers is called in the output.

    A name in ``job.rename`` is that of a column that the method takes, else of one that it gives.
    """
    bound = bound_method(predictor, job.method)
    bare = Scorer(bound, parameters=job.parameters)
    outward = {name: job.rename[name] for name in bare.schema.names if name in job.rename and name not in bare.columns}
    inward = {name: column for name, column in job.rename.items() if name not in outward}
    scorer = Scorer(bound, parameters=job.parameters, renamed=inward) if inward else bare
    return scorer, {name: outward.get(name, name) for name in bare.schema.names}


def make_plan(job: Job, predictor: Predictor, source: Columns) -> Plan:
    """Plan a job; nothing of the source is asked but its columns. Raises :class:`InvalidJob`, :class:`InvalidTable`."""
    scorer, answers = make_scorer(job, predictor)
    table = source.schema()
    scorer.check(table)
    row_wise = scorer.by_row or scorer.method.row_wise is s.Answer.YES
    keep = _kept(job, table)
    _refuse_clashes(keep, answers)
    by = () if row_wise else job.by
    _need(by, table, "--by")
    types: dict[str, pa.DataType | None] = dict(scorer.types)
    for name in (*keep, *by):
        types.setdefault(name, None)
    own = job.input.format not in _TEXT
    fields = [table.field(name) if own or types[name] is None else pa.field(name, types[name]) for name in keep]
    fields += [field.with_name(answers[field.name]) for field in scorer.schema]
    return Plan(
        scorer.bound.name,
        scorer,
        row_wise,
        keep,
        answers,
        Wanted(types, job.batch_rows, _filter(job, table, types)),
        pa.schema(fields),
    )


def _filter(job: Job, table: pa.Schema, types: Mapping[str, pa.DataType | None]) -> object | None:
    if not job.where:
        return None
    from model_envelope.scoring.filtering import read_filter

    return cast("object", read_filter(job.where, table, types))


def _kept(job: Job, table: pa.Schema) -> tuple[str, ...]:
    if job.keep == ("*",):
        return tuple(table.names)
    _need(job.keep, table, "--keep")
    return tuple(dict.fromkeys(job.keep))


def _need(names: tuple[str, ...], table: pa.Schema, option: str) -> None:
    missing = [name for name in names if name not in table.names]
    if missing:
        raise InvalidTable(
            f"the table has no column {', '.join(missing)}, which {option} names",
            code="table.columns",
            hint=f"it has {', '.join(table.names[:50])}",
        )


def _refuse_clashes(keep: tuple[str, ...], answers: Mapping[str, str]) -> None:
    names = list(answers.values())
    twice = sorted({name for name in names if names.count(name) > 1} | (set(keep) & set(names)))
    if not twice:
        return
    of = {out: name for name, out in answers.items()}
    one = twice[0]
    raise InvalidJob(
        f"the output would have the column {', '.join(twice)} twice: as it is kept, and as an answer",
        code="job.columns",
        hint=f"call the answer otherwise (`--rename {of[one]}=NAME`), or name fewer columns with --keep",
    )


def refuse_no_quarantine(job: Job) -> None:
    """Raise :class:`InvalidJob` (``job.quarantine``) where bad rows are to be set aside, and nothing says where."""
    if job.on_bad_row == "quarantine" and job.quarantine is None:
        raise InvalidJob(
            "bad rows are to be set aside, and nothing says where",
            code="job.quarantine",
            hint="name a table with --quarantine",
        )


def refuse_same_places(job: Job) -> None:
    """Raise :class:`InvalidJob` where a job would write over what it reads, or two tables into one place."""
    tables = {"input": job.input, "output": job.output, "quarantine": job.quarantine, "log": job.log}
    seen: dict[tuple[str, str], str] = {}
    for role, location in tables.items():
        if location is None:
            continue
        place = _place(location)
        if place in seen:
            raise InvalidJob(
                f"the {role} is where the {seen[place]} is: {location.shown}",
                code="job.same-place",
                hint="name another place: a job reads one table and writes others",
            )
        seen[place] = role


def refuse_change(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise :class:`Changed` where the input is not what it was when the job began."""
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    if not changed:
        return
    raise Changed(
        f"the input changed while it was read: {', '.join(changed[:10])}{' and more' if len(changed) > 10 else ''}",
        code="job.input-changed",
        problems=[
            Problem(name, now.get(name, "nothing"), before.get(name, "nothing"), "job.input-changed")
            for name in changed[:100]
        ],
        hint="nothing was written to the output; run the job again when the input stands still",
    )


def _place(location: Location) -> tuple[str, str]:
    url = location.url
    return (url if "://" in url else os.path.realpath(url), location.table)


def settings_of(job: Job, plan: Plan) -> dict[str, Any]:
    """Give what decides the bytes of the output, beside the envelope and the input."""
    return {
        "method": plan.method,
        "parameters": dict(job.parameters),
        "rename": dict(job.rename),
        "columns": list(plan.wanted.types),
        "keep": list(plan.keep),
        "where": job.where,
        "batch_rows": job.batch_rows,
        "by": list(job.by),
        "on_bad_row": job.on_bad_row,
        "mode": job.mode,
        "output_format": job.output.format,
        "output_options": dict(job.output.options),
        "partition_by": list(job.partition_by),
        "log_without": list(job.log_without),
        "log_hashed": list(job.log_hashed),
    }


def identity_of(job: Job, plan: Plan, digest: str, input_name: str, state: Mapping[str, str]) -> str:
    """Give what is the same for the same job: the sha256 of envelope, input, settings and what writes the output."""
    document = {
        "envelope": digest,
        "input": [job.input.format, input_name, dict(job.input.options)],
        "state": dict(state),
        "settings": settings_of(job, plan),
        "schema": plan.schema.to_string(show_field_metadata=True),
        "versions": {
            name: _version(name) for name in ("model-envelope", *_WRITERS.get(job.output.format, ("pyarrow",)))
        },
    }
    return digest_of(document)


def digest_of(document: Any) -> str:
    """Give the sha256 of a JSON document."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
