"""When and how text is coloured. Everything stays legible without."""

from __future__ import annotations

import os
from typing import TextIO

STYLES = {"bold": "1", "dim": "2", "red": "1;31", "green": "1;32", "yellow": "1;33", "cyan": "1;36", "plain": "0"}


def coloured(stream: TextIO) -> bool:
    """Tell whether to colour what is written to a stream.

    Only a terminal gets colours; ``NO_COLOR`` (https://no-color.org) and ``TERM=dumb`` turn them off.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, style: str, stream: TextIO) -> str:
    """Give the text in one of :data:`STYLES` where the stream is coloured, else as it is."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if coloured(stream) else text
