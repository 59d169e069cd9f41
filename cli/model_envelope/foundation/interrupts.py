"""Ctrl-C and SIGTERM, held back while something is made or removed that must not be lost sight of half way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold interrupts back for the length of the block: they come when it has ended.

    For what takes moments: a container is made and its id noted, or removed. In another thread than the first, where
    no interrupt comes, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {sign: signal.signal(sign, lambda number, _: came.append(number)) for sign in SIGNALS}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])
