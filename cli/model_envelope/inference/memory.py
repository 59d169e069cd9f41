"""How much memory the children that read samples and ask the model may take: what this machine, or container, has.

More than that is an error that says so, instead of a machine that swaps or a process that is killed.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_memory() -> int:
    """Give the bytes of memory of this machine, or of this container where that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP:
        with suppress(OSError, ValueError):
            found = min(found, int(path.read_text()))
    return found


def limit_memory(size: int | None = None) -> None:
    """Let this process fail with :class:`MemoryError` beyond so many bytes, by default all that are available."""
    size = available_memory() if size is None else size
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (size if hard < 0 else min(size, hard), hard))
