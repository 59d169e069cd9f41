"""What processes cost: CPU, memory and open files, as Linux tells it in /proc; elsewhere nothing is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Cost:
    """The figures of a process, or of several together: seconds of CPU, bytes that are resident, open files.

    ``ended_cpu`` are the seconds of its children that have ended. ``started`` is in seconds since 1970, and of several
    processes the first. Pages that processes share count for each.
    """

    cpu: float
    ended_cpu: float
    memory: int
    open_files: int
    most_files: float
    started: float


def cost_of(pid: int) -> Cost | None:
    """Read the figures of a process; None where there is none of this number (any more), or no /proc."""
    try:
        # The name of the program, in brackets, may hold anything.
        fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        files = sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
        most = _most_files((PROC / str(pid) / "limits").read_text())
        tick = os.sysconf("SC_CLK_TCK")
        return Cost(
            cpu=(int(fields[11]) + int(fields[12])) / tick,
            ended_cpu=(int(fields[13]) + int(fields[14])) / tick,
            memory=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            open_files=files,
            most_files=most,
            started=_booted() + int(fields[19]) / tick,
        )
    except OSError:
        return None


def together(pids: Iterable[int], supervisor: int | None = None) -> Cost | None:
    """Add up the figures of processes; None where nothing is known of any.

    The children of the ``supervisor`` that have ended count with their CPU: a sum that became smaller with each worker
    that died would look like a new start.
    """
    costs = [cost for pid in {*pids} - {supervisor} if (cost := cost_of(pid)) is not None]
    parent = cost_of(supervisor) if supervisor is not None else None
    everyone = [*costs, *([parent] if parent else [])]
    if not everyone:
        return None
    ended = parent.ended_cpu if parent else 0.0
    return Cost(
        cpu=sum(cost.cpu for cost in everyone) + ended,
        ended_cpu=ended,
        memory=sum(cost.memory for cost in everyone),
        open_files=sum(cost.open_files for cost in everyone),
        most_files=sum(cost.most_files for cost in everyone),
        started=min(cost.started for cost in everyone),
    )


def _most_files(limits: str) -> float:
    for line in limits.splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return float("inf") if soft == "unlimited" else float(soft)
    return float("inf")


def _booted() -> float:
    """Give when the machine was started, in seconds since 1970."""
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0
