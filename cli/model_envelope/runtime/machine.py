"""What decides the last bits of an answer beside the model and its packages: the CPU, the BLAS, how many threads.

Libraries of linear algebra choose their code by the CPU that they run on, and split sums over its cores; so the same
packages give other last bits on another machine. None of it is sealed: it is noted beside an envelope.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_CPU = Path("/proc/cpuinfo")
_MAPS = Path("/proc/self/maps")
_LIBRARIES = re.compile(r"(?i)/(lib[^/\s]*(?:blas|mkl_|lapack|blis|dnnl|cudnn)[^/\s]*\.(?:so|dylib)[^/\s]*)$")
# What libraries of linear algebra choose their code by: https://www.openmathlib.org/OpenBLAS/docs/runtime_variables/
_FEATURES = frozenset(
    (
        *("sse4_2", "avx", "avx2", "fma", "fma4", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "avx512_vnni"),
        *("avx_vnni", "amx_bf16", "amx_int8", "amx_tile", "asimd", "asimddp", "asimdhp", "sve", "sve2", "bf16", "i8mm"),
    )
)


@dataclass(frozen=True)
class Machine:
    """What one process computed with.

    ``cpu`` is its name, ``features`` are the instruction sets of it that matter, ``libraries`` those of linear algebra
    that were loaded, by the names of their files, and ``threads`` how many of them they may take.
    """

    cpu: str
    features: tuple[str, ...]
    threads: int
    libraries: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> Machine:
        """Describe the machine, and what this process has loaded by now."""
        said = _CPU.read_text(encoding="utf-8", errors="replace") if _CPU.is_file() else ""
        maps = _MAPS.read_text(encoding="utf-8", errors="replace") if _MAPS.is_file() else ""
        features = set(_value(said, "flags", "Features").split()) & _FEATURES
        # Two names of one file (a link, and what it leads to) would differ where nothing else does.
        libraries = {found[1] for line in maps.splitlines() if (found := _LIBRARIES.search(line))}
        return cls(_cpu(said), tuple(sorted(features)), _threads(), tuple(sorted(libraries)))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Machine | None:
        """Read the JSON form; None where it is not there or of another kind."""
        try:
            return cls(
                str(document["cpu"]),
                tuple(map(str, document["features"])),
                int(document["threads"]),
                tuple(map(str, document["libraries"])),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def to_document(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {**asdict(self), "features": list(self.features), "libraries": list(self.libraries)}

    def apart_from(self, other: Machine) -> tuple[str, ...]:
        """Say what is otherwise than on another machine, a text each: how it is here, and how it was there.

        Libraries that were loaded there and are not here say nothing: what uses them may not be in a clean room.
        """
        found = []
        if self.cpu != other.cpu:
            found.append(f"the CPU is {self.cpu}, and was {other.cpu}")
        elif self.features != other.features:
            changed = ", ".join(sorted(set(self.features) ^ set(other.features)))
            found.append(f"the CPU offers other instruction sets ({changed})")
        if not set(self.libraries) <= set(other.libraries):
            found.append(f"the BLAS is {_listed(self.libraries)}, and was {_listed(other.libraries)}")
        if self.threads != other.threads:
            found.append(f"it has {self.threads} threads, and had {other.threads}")
        return tuple(found)


def _listed(libraries: tuple[str, ...]) -> str:
    return ", ".join(libraries) or "none"


def _value(said: str, *names: str) -> str:
    for name in names:
        if found := re.search(rf"^{name}\s*:\s*(.*)$", said, re.MULTILINE):
            return found[1].strip()
    return ""


def _cpu(said: str) -> str:
    name = _value(said, "model name", "Model")
    parts = [_value(said, key) for key in ("CPU implementer", "CPU part")]
    told = name or " ".join(part for part in parts if part) or platform.processor()
    return " ".join(f"{platform.machine()} {told}".split())


def _threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
