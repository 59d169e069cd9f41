"""Renders files for programs that run images: a DAG of Airflow, a CronJob of Kubernetes.

A pure function, as that of build contexts: the same envelope, settings and version of this tool give the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from model_envelope import __version__
from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime.errors import Problem
from model_envelope.runtime.reading import EnvelopeFiles
from model_envelope.targets.archive import EPOCH
from model_envelope.targets.context import context_name
from model_envelope.targets.rendering import generate
from model_envelope.targets.target import Target

_LONGEST_NAME = 52
"""Characters that Kubernetes takes as the name of a CronJob."""
_WHOLE = re.compile(r"\d{1,3}")
_NUMBER = re.compile(r"\d{1,4}(?:\.\d{1,3})?")
_MEMORY = re.compile(r"(\d{1,9})([KMGT])i")
_FORMS = {
    "cpu": (_NUMBER, "a number of CPUs (`2`, `0.5`)"),
    "memory": (_MEMORY, "an amount of memory (`512Mi`, `4Gi`)"),
    "retries": (_WHOLE, "a whole number"),
    "start": (re.compile(r"\d{4}-\d{2}-\d{2}"), "a day (`2025-12-31`)"),
    "name": (re.compile(r"[a-z0-9](?:[a-z0-9-]{0,50}[a-z0-9])?|"), "lower case letters, digits and `-`, at most 52"),
}
_IN_KUBERNETES = (
    re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|"),
    "a name in Kubernetes: lower case letters, digits, `-` and `.`",
)
_NAMES = ("data", "secret", "service-account", "namespace")
"""Settings that name something in Kubernetes, where that runs the container."""


def render_files(
    envelope: EnvelopeFiles, target: Target, into: Path, *, settings: Mapping[str, str], image: str
) -> Path:
    """Write the files of a target as a new folder in ``into``, and give that. It appears whole or not at all.

    ``settings`` are values by their names; ``image`` is the one to run where they name none.

    Raises :class:`InvalidInput` (``target.setting``) for all values that are missing, unknown or make no sense.
    """
    values = _values(envelope, target, settings)
    values["image"] = values["image"] or image
    quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    identifier = values["name"] or _identifier(envelope.description.name, target.runs)
    short = envelope.short_digest
    variables = {
        "slug": context_name(envelope, target),
        "file": f"{identifier.replace('-', '_')}.py",
        "name": envelope.description.name,
        "digest": envelope.digest,
        "version": __version__,
        "settings": values,
        "quoted": {
            **quoted,
            "description": json.dumps(f"Scores a table with {envelope.description.name} {short}"),
            "docker_memory": json.dumps(_MEMORY.sub(lambda found: found[1] + found[2].lower(), values["memory"])),
            "version": json.dumps(short),
        },
        "identifier": json.dumps(identifier),
        "arguments": [json.dumps(word, ensure_ascii=False) for word in _arguments(values)],
    }
    folder = generate(target.template, variables, into)
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (EPOCH, EPOCH))
    return folder


def _arguments(values: Mapping[str, str]) -> list[str]:
    """Give the arguments of the job."""
    words = ["--input", values["input"], "--output", values["output"], "--mode", values["mode"]]
    if values["method"]:
        words += ["--method", values["method"]]
    return words + shlex.split(values["arguments"])


def _values(envelope: EnvelopeFiles, target: Target, given: Mapping[str, str]) -> dict[str, str]:
    """Give a value for each setting; all that is wrong with those that were given is told at once."""
    known = target.settings
    problems = [
        Problem(name, "a setting", f"one of {', '.join(known)}", "target.setting")
        for name in given
        if name not in known
    ]
    values = {name: given.get(name, setting.default) for name, setting in known.items()}
    forms = {**_FORMS, **(dict.fromkeys(_NAMES, _IN_KUBERNETES) if values.get("operator") != "docker" else {})}
    for name, value in values.items():
        setting = known[name]
        form, expected = forms.get(name, (None, ""))
        if setting.required and not value:
            problems.append(Problem(name, "nothing", setting.about, "target.setting"))
        elif not value.isprintable():
            problems.append(Problem(name, repr(value)[:60], "one line that can be shown", "target.setting"))
        elif setting.choices and value not in setting.choices:
            problems.append(Problem(name, f"`{value}`", f"one of {', '.join(setting.choices)}", "target.setting"))
        elif form is not None and not form.fullmatch(value):
            problems.append(Problem(name, f"`{value}`"[:60], expected, "target.setting"))
    methods = envelope.signature.methods
    if values.get("method") and values["method"] not in methods:
        problems.append(Problem("method", f"`{values['method']}`", f"one of {', '.join(methods)}", "target.setting"))
    try:
        shlex.split(values.get("arguments", ""))
    except ValueError as error:
        problems.append(Problem("arguments", str(error), "words as in a shell", "target.setting"))
    if problems:
        raise InvalidInput(
            f"the settings of the target `{target.kind}` make no sense",
            code="target.setting",
            problems=problems,
            hint="`--set NAME=VALUE` gives one; there are "
            + "; ".join(f"{name}: {setting.about}" for name, setting in known.items()),
        )
    return values


def _identifier(name: str, kind: str) -> str:
    """Make a name that Kubernetes takes of that of an envelope."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: _LONGEST_NAME - len(kind) - 1].rstrip("-")
    return f"{plain or 'model'}-{kind}"
