"""What a job is to do: the same for both engines, whether options, variables or a file say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from model_envelope.scoring.location import Location
from model_envelope.scoring.tables import Mode

Engine = Literal["python", "spark"]
OnBadRow = Literal["fail", "quarantine"]

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Job:
    """One table to score.

    ``method`` is empty for the only one that the envelope has, or `predict`. ``keep`` are columns of the input that are
    written beside the answers, ``("*",)`` all of them. ``by`` are columns whose equal values make a group, for methods
    that need whole groups. ``workers`` 0 finds out whether more than one pays. ``max_bad_rows`` fails the job: as a
    number of rows where it is at least 1, as a share of them below. ``log`` is where the inference log goes;
    ``log_without`` leaves columns out of it, ``log_hashed`` keeps but their sha256.
    """

    envelope: Path
    input: Location
    output: Location
    method: str = ""
    engine: Engine = "python"
    keep: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    by: tuple[str, ...] = ()
    mode: Mode = "error"
    partition_by: tuple[str, ...] = ()
    workers: int = 0
    batch_rows: int = BATCH_ROWS
    on_bad_row: OnBadRow = "fail"
    quarantine: Location | None = None
    max_bad_rows: float | None = None
    log: Location | None = None
    log_without: tuple[str, ...] = ()
    log_hashed: tuple[str, ...] = ()
    report: Path | None = None
    run_id: str = ""
