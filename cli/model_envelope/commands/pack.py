import json as json_format
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from model_envelope.commands.options import AllowNetwork, Json, Platforms, Resolver, numbers, pairs
from model_envelope.commands.output import Line, Misuse, command
from model_envelope.workflows import pack as workflow


def pack(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The pickled model.", show_default=False)],
    samples: Annotated[
        Path,
        typer.Option(
            "--input",
            metavar="SAMPLES",
            help="Sample inputs: .parquet, .csv, .json, .jsonl, .feather, .npy, .npz or .pkl.",
            show_default=False,
        ),
    ],
    answers: Annotated[
        Path | None,
        typer.Option(metavar="ANSWERS", help="The answers that the model has to give to them.", show_default=False),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TYPE", help="The type of a column of the samples: int64, `int64?` with null, ..."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A method to seal. Default: predict, and predict_proba where there is one."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The envelope's name. Default: the file's.", show_default=False)
    ] = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What the model is for.", show_default=False)] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag.")] = None,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME=NUMBER", help="A metric.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A hyperparameter.")] = None,
    attach: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A file to seal beside the model.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="PACKAGE", help="Keep a package that is installed here.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="PACKAGE", help="Leave a package out, though something requires it.")
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="Take another package in its place; NEW may name its version, `NEW==1.2`."
        ),
    ] = None,
    module: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A module that no import names, to take along: its dotted name or its path."),
    ] = None,
    code_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="How much local code may travel. Default: 500MB.", show_default=False),
    ] = None,
    sample_rows: Annotated[int, typer.Option(metavar="N", help="How many sample rows are sealed.")] = 5,
    no_samples: Annotated[bool, typer.Option("--no-samples", help="Seal no samples.")] = False,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="INTERPRETER",
            help="The Python that has the model's packages. Default: this one.",
            show_default=False,
        ),
    ] = None,
    python_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The Python that the lock is for. Default: the model's.", show_default=False
        ),
    ] = None,
    no_lock: Annotated[bool, typer.Option("--no-lock", help="Leave the lock to a later `envelope lock`.")] = False,
    resolver: Resolver = "auto",
    platform: Platforms = None,
    cpu: Annotated[
        bool,
        typer.Option(
            "--cpu", help="Lock for machines without a graphics card: builds for CPUs, nothing for cards alone."
        ),
    ] = False,
    no_proof: Annotated[bool, typer.Option("--no-proof", help="Do not replay the samples in a clean room.")] = False,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Leave out direct needs without which the clean room gives the answers.")
    ] = False,
    allow_network: AllowNetwork = False,
    with_diff: Annotated[
        bool,
        typer.Option("--with-diff", help="Keep what git has not committed beside the envelope, not only its digest."),
    ] = False,
    time_limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long loading and asking the model may take.")
    ] = 600.0,
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="How much memory it may take. Default: what there is.", show_default=False),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the envelope appears.", show_default=".")
    ] = Path(),
    json: Json = False,
) -> None:
    """Seal a pickled model with everything that it needs.

    Finds the signature, the packages and the local code by loading the model in a child process and asking it the
    samples; locks the packages, proves them in a clean room, and prints the path of the sealed envelope. What the clean
    room lacks, and is installed here, is added. Nothing appears unless everything went well. With `--no-lock` and
    `--no-proof` nothing needs a network.

    `keep`, `drop`, `replace`, `modules` and `code-limit` may also stand in [tool.envelope] of the project's
    pyproject.toml; `envelope dependencies` says what came of it.
    """
    with command("pack", json=json) as out:
        result = workflow.pack(
            model,
            samples=workflow.SampleFile(samples, str(samples)),
            answers=None if answers is None else workflow.SampleFile(answers, str(answers)),
            methods=method or (),
            label=workflow.Label(
                name=name,
                description=description,
                tags=pairs(tag or ()),
                metrics=numbers(metric or ()),
                hyperparameters={key: _value(text) for key, text in pairs(param or ()).items()},
                attachments=tuple(attach or ()),
            ),
            python=python,
            rows=sample_rows,
            columns=column or (),
            asked=workflow.Asked(tuple(keep or ()), tuple(drop or ()), _replacements(replace or ())),
            modules=module or (),
            code_limit=code_limit,
            keep_samples=not no_samples,
            lock=not no_lock,
            prove=not no_proof,
            minimal=minimal,
            cpu=cpu,
            network=allow_network,
            resolver=resolver,
            with_diff=with_diff,
            aim=workflow.Aim.read(platform or (), python_version),
            limits=workflow.read_limits(time_limit, memory_limit),
            into=output,
            report=out.report,
        )
        out.finish(result, text=_text)


def _replacements(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read `OLD=NEW`, where the new name may carry a version (`OLD=NEW==1.2`)."""
    found = tuple(word.partition("=")[::2] for word in words)
    split = zip(words, found, strict=True)
    if wrong := [word for word, (old, new) in split if not old.strip() or not new or new.startswith("=")]:
        raise Misuse(
            f"found {', '.join(f'`{word}`' for word in wrong)}, expected OLD=NEW",
            code="usage.pair",
            hint="write it as `opencv-python=opencv-python-headless`",
        )
    return found


def _value(text: str) -> bool | int | float | str | None:
    """Read `3`, `0.1`, `true` and `null` as what they are in JSON, anything else as text."""
    try:
        value = json_format.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value


def _text(result: workflow.PackResult) -> Iterator[Line]:
    yield str(result.path)
