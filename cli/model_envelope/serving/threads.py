"""How many CPUs this process really has, and that the model's libraries start no more threads than that.

Libraries count the CPUs of the machine. In a container that may use two of 64 they would start 64 threads that wait for
each other, in each worker. They read the variables below once, when they are imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

OPENMP = "OMP_NUM_THREADS"
"""What PyTorch, LightGBM, XGBoost and scikit-learn go by; the next ones do too where their own variable is not set."""

FOLLOW_OPENMP = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
OTHERS = ("VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")


def limit_threads(workers: int, environment: MutableMapping[str, str]) -> int:
    """Set the variables to this process' share of the CPUs, at least 1, and give it. What the user set stays."""
    share = max(1, int(cpus() / workers))
    follow = () if environment.get(OPENMP) else FOLLOW_OPENMP
    for name in (OPENMP, *follow, *OTHERS):
        if not environment.get(name):
            environment[name] = str(share)
    return share


def cpus(root: Path = Path("/")) -> float:
    """Give how many CPUs this process may use: those that it may run on, or what its control group has of their time.

    ``root`` is where /proc and /sys are.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min([float(allowed), *_quotas(root)])


def _quotas(root: Path) -> Iterator[float]:
    """Give the limits of the control groups that this process is in, of version 1 and 2, up to the outermost."""
    mounts = root / "sys" / "fs" / "cgroup"
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, read = mounts, _quota_2
        elif "cpu" in controllers.split(","):
            base, read = mounts / "cpu", _quota_1
        else:
            continue
        # A container may see the path of its host, of which nothing is mounted here but the group itself.
        inner = base / path.lstrip("/")
        for folder in {base, inner, *(item for item in inner.parents if item.is_relative_to(base))}:
            with suppress(OSError, ValueError):
                quota, period = read(folder)
                if quota > 0 and period > 0:
                    yield quota / period


def _quota_2(folder: Path) -> tuple[int, int]:
    quota, period = (folder / "cpu.max").read_text().split()
    return int(quota), int(period)  # `max` is no number, and no limit


def _quota_1(folder: Path) -> tuple[int, int]:
    return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
