"""Where this tool keeps things of the user's.

The cache may be deleted at any time; the state says what was sealed and built here.

As the XDG base directory specification has it; ``ENVELOPE_CACHE_DIR`` and ``ENVELOPE_STATE_DIR`` name other places.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Give the cache: clean rooms and what else can be made again."""
    return _named("ENVELOPE_CACHE_DIR", "XDG_CACHE_HOME", Path(".cache"))


def state_dir() -> Path:
    """Give the state: which digests this user sealed on this machine, what images were built of, and logs of builds."""
    return _named("ENVELOPE_STATE_DIR", "XDG_STATE_HOME", Path(".local", "state"))


def _named(own: str, standard: str, fallback: Path) -> Path:
    if value := os.environ.get(own):
        return Path(value).expanduser().absolute()
    base = os.environ.get(standard)
    return (Path(base).expanduser().absolute() if base else Path.home() / fallback) / "model-envelope"
