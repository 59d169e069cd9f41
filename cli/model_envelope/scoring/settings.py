"""The settings of a job: from options, environment variables and a job file, in this order.

All three have the same names, those of ``settings.toml``, and are read by the same rules; all that is wrong is told at
once.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model_envelope.runtime.errors import Problem
from model_envelope.scoring.job import Job
from model_envelope.scoring.job_file import UnreadableJob, read_job_file
from model_envelope.scoring.location import Location, read_location
from model_envelope.scoring.tables import InvalidJob

PREFIX = "ENVELOPE_"
MOST_WORKERS = 512
Kind = Literal["text", "path", "choice", "whole", "workers", "limit", "list", "pairs", "values"]
_REPEATED = ("list", "pairs", "values")
_JOB_FIELDS = {"parameter": "parameters", "inference_log": "log"}
"""What is called otherwise in :class:`Job`."""
_OF_LOCATIONS = ("input_option", "output_option")
_TABLES = ("input", "output", "quarantine", "inference-log")


@dataclass(frozen=True)
class Setting:
    """One row of ``settings.toml``."""

    name: str
    kind: Kind
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: int = 0
    default: str = ""

    @property
    def key(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")

    @property
    def option(self) -> str:
        """How it is said on a command line."""
        return f"--{self.name}" if self.name != "envelope" else "ENVELOPE"

    @property
    def variable(self) -> str:
        """How it is said in the environment."""
        return PREFIX + self.key.upper()

    @property
    def repeated(self) -> bool:
        """Whether the option may be given several times."""
        return self.kind in _REPEATED

    @property
    def expected(self) -> str:
        """What makes sense as its value."""
        return {
            "text": "a text",
            "path": "a path",
            "choice": f"one of {', '.join(self.choices)}",
            "whole": f"a whole number from {self.least}",
            "workers": f"a whole number from {self.least} to {MOST_WORKERS}, or auto",
            "limit": "a number of rows from 0, or a share of them below 1",
            "list": "a name, or a list of them",
            "pairs": "NAME=VALUE, or names with their values",
            "values": "NAME=JSON, or names with their values",
        }[self.kind]


@functools.cache
def settings() -> tuple[Setting, ...]:
    """Give all settings, in the order of the table."""
    document = tomllib.loads(Path(__file__).with_name("settings.toml").read_text("utf-8"))
    return tuple(Setting(name, **{**row, "choices": tuple(row.get("choices", ()))}) for name, row in document.items())


def nearest(name: str) -> str:
    """Say which setting may have been meant."""
    known = [item.name for item in settings()]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"perhaps `{near[0]}`" if near else f"one of {', '.join(known)}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting, and ``--job``. What is given is read by :func:`read_job`."""
    parser.add_argument("--job", metavar="FILE", help="a YAML or JSON file with settings by these names")
    for item in settings():
        help_text = item.help.replace("%", "%%") + (f" ({item.default})" if item.default else "")
        if item.name == "envelope":
            parser.add_argument("envelope", nargs="?", help=help_text)
        else:
            metavar = f"{{{','.join(item.choices)}}}" if item.choices else item.metavar or "FILE"
            parser.add_argument(
                item.option, metavar=metavar, action="append" if item.repeated else "store", help=help_text
            )


def read_job(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Job:
    """Read a job from parsed options, variables (an empty one is none) and the job file that either names.

    Raises :class:`InvalidJob` (``job.settings``) with everything that is wrong.
    """
    problems: list[Problem] = []
    given: dict[str, tuple[str, Any]] = {}
    """By setting the place where it is said and its value."""
    for item, place, value in _of_file(arguments.job or environment.get(PREFIX + "JOB", "").strip(), problems):
        given[item.key] = (place, _checked(item, value, value, place, problems))
    for item in settings():
        words = getattr(arguments, item.key, None)
        place = item.option
        if words is None and (text := environment.get(item.variable, "").strip()):
            words, place = _words(item, text), item.variable
        if words is None:
            continue
        value = _native(item, words)
        given[item.key] = (place, _checked(item, value, words, place, problems))
    values = {key: value for key, (_, value) in given.items() if value is not None}
    places = {key: place for key, (place, _) in given.items()}
    for name in ("envelope", "input", "output"):
        if name not in given:
            expected = "the folder of an envelope" if name == "envelope" else "a table"
            problems.append(Problem(_option(name), "nothing", expected, "job.missing"))
    tables = _tables(values, places, problems)
    problems += _contradictions(values, places)
    if problems:
        raise InvalidJob(
            "the job makes no sense" if given else "nothing says what is to be done",
            code="job.settings",
            problems=problems,
            hint="`--help` lists the settings; each is also a variable (ENVELOPE_BATCH_ROWS) and a name of a job file",
        )
    return _job(values, tables)


def _job(values: Mapping[str, Any], tables: Mapping[str, Location]) -> Job:
    fields = {
        _JOB_FIELDS.get(key, key): value
        for key, value in {**values, **{name.replace("-", "_"): table for name, table in tables.items()}}.items()
        if key not in _OF_LOCATIONS
    }
    if "quarantine" in fields:
        fields.setdefault("on_bad_row", "quarantine")
    elif fields.get("on_bad_row") == "quarantine":
        fields["quarantine"] = beside(tables["output"], "quarantine")
    return Job(**fields)


def beside(output: Location, word: str) -> Location:
    """Give a place beside an output: ``answers.quarantine.parquet`` beside ``answers.parquet``.

    Beside CSV it is JSON Lines, as lists and objects stand in its rows.
    """
    if output.format == "sql":
        return Location("sql", output.url, f"{output.table}_{word}")
    if output.format == "table":
        return Location("table", f"{output.url}_{word}")
    kind = "jsonl" if output.format == "csv" else output.format
    url, slash = output.url.rstrip("/"), "/" if output.url.endswith("/") else ""
    folder, _, name = url.rpartition("/")
    stem, dot, endings = name.partition(".")
    if not stem or output.format == "delta":
        stem, dot, endings = name, "", ""
    if output.format == "csv":
        endings = "jsonl" if dot else ""
    name = f"{stem}.{word}{dot}{endings}"
    return Location(kind, f"{folder}/{name}{slash}" if folder or url.startswith("/") else f"{name}{slash}")


def _of_file(path: str, problems: list[Problem]) -> Iterator[tuple[Setting, str, Any]]:
    if not path:
        return
    try:
        document = read_job_file(Path(path))
    except UnreadableJob as error:
        problems.append(Problem(path, str(error), "YAML or JSON with settings by their names", "job.file"))
        return
    known = {item.name: item for item in settings()}
    for written, value in document.items():
        name = written.replace("_", "-")
        place = f"{path}: {written}"
        if name not in known:
            problems.append(Problem(place, "no setting of this name", nearest(name), "job.unknown"))
        elif value is not None:
            yield known[name], place, value


def _words(item: Setting, text: str) -> Any:
    """Take a variable apart: JSON, or words with commas between them."""
    if item.repeated and text[0] in "[{":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return [text]
    if item.kind in {"list", "pairs"}:
        return [word.strip() for word in text.split(",")]
    return [text] if item.repeated else text


def _native(item: Setting, words: Any) -> Any:
    """Make of words what a job file would hold; what makes no sense stays as it is, and what is no word too."""
    worded = isinstance(words, str | list)
    if not worded:
        return words
    try:
        if item.kind in {"whole", "workers"} and words != "auto":
            # More digits than any such number has; int() takes long for millions of them.
            return int(words) if words.isascii() and words.isdigit() and len(words) < 19 else words
        if item.kind == "limit":
            return float(words)
        if item.kind in {"pairs", "values"}:
            split = [(name.strip(), text) for name, _, text in (word.partition("=") for word in words)]
            if not all("=" in word for word in words):
                return words
            return {name: json.loads(text) if item.kind == "values" else text for name, text in split}
    except (ValueError, RecursionError):
        return words
    return words


def _checked(item: Setting, value: Any, said: Any, place: str, problems: list[Problem]) -> Any:
    """Give a value as :class:`Job` has it, or None with a problem that shows it as it was said."""
    made = _made(item, value)
    if made is None:
        problems.append(Problem(place, _found(said), item.expected, "job.setting"))
    return made


def _made(item: Setting, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match item.kind:
        case "text":
            return value if isinstance(value, str) and value.strip() else None
        case "path":
            return Path(value).expanduser() if isinstance(value, str) and value.strip() else None
        case "choice":
            return value if isinstance(value, str) and value in item.choices else None
        case "workers" if value == "auto":
            return 0
        case "whole" | "workers":
            most = MOST_WORKERS if item.kind == "workers" else math.inf
            return value if number and isinstance(value, int) and item.least <= value <= most else None
        case "limit":
            return value if number and (0 <= value < 1 or (math.isfinite(value) and value == int(value) > 0)) else None
        case "list":
            names = [value] if isinstance(value, str) else value
            named = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
            return tuple(dict.fromkeys(names)) if named else None
        case "pairs":
            return _pairs(value)
        case "values":
            return dict(value) if isinstance(value, Mapping) and _is_json(value) and all(value) else None


def _pairs(value: Any) -> dict[str, str] | None:
    if not isinstance(value, Mapping):
        return None
    found = {}
    for name, text in value.items():
        if not (isinstance(name, str) and name and isinstance(text, str | int | float)):
            return None
        found[name] = str(text).lower() if isinstance(text, bool) else str(text)
    return found


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _found(value: Any) -> str:
    if isinstance(value, str):
        return f"`{value:.40}`" if value.strip() else "nothing"
    if isinstance(value, list) and len(value) == 1:
        return _found(value[0])
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    said = f"`{text:.40}`"
    return said if isinstance(value, int | float | list | Mapping) else f"{said}, which YAML takes for no text"


def _option(name: str) -> str:
    return next(item.option for item in settings() if item.name == name)


def _tables(values: Mapping[str, Any], places: Mapping[str, str], problems: list[Problem]) -> dict[str, Location]:
    """Read the tables that the job names."""
    tables = {}
    for name in _TABLES:
        key = name.replace("-", "_")
        if key not in values:
            continue
        try:
            tables[name] = read_location(values[key], values.get(f"{key}_option", {}))
        except InvalidJob as error:
            problems.append(Problem(places[key], error.message, error.hint or "a table", error.code))
    return tables


def _contradictions(values: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[Problem]:
    """Find settings that do not go with one another."""
    fails = values.get("on_bad_row", "quarantine" if "quarantine" in values else "fail") == "fail"
    for setting in ("quarantine", "max_bad_rows") if fails else ():
        if setting in values:
            yield Problem(places[setting], "no quarantine", "--on-bad-row quarantine with it", "job.together")
    for setting in ("log_without", "log_hashed") if "inference_log" not in values else ():
        if setting in values:
            yield Problem(places[setting], "no inference log", "--inference-log with it", "job.together")
