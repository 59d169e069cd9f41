"""Sizes as people write them."""

from __future__ import annotations

import re

from model_envelope.foundation.errors import InvalidInput

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def read_size(text: str, place: str, *, code: str) -> int:
    """Read a size (``500MB``, ``2 GB``, ``1.5GiB``, a number of bytes) in bytes.

    Raises :class:`InvalidInput` with the ``code``, naming the place where it was said.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    factor = _UNITS.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise InvalidInput(
            f"{place} is {text[:40]!r}, expected a size such as 2GB", code=code, hint="units are kB, MB and GB"
        )
    return int(float(found[1]) * factor)
