"""The end of a process that has run a model's code."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

GRACE = 2.0
"""Seconds that threads and exit handlers of the model have before the process ends without them."""


def leave(code: int | None) -> NoReturn:
    """End this process with an exit code, though threads that a model started may never end."""
    timer = threading.Timer(GRACE, os._exit, (code or 0,))
    timer.daemon = True
    timer.start()
    sys.exit(code)
