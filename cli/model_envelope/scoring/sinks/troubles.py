"""What a system refuses while a table is written, said so that the user knows what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from model_envelope.runtime.errors import EnvelopeError
from model_envelope.scoring.tables import CannotWrite

_KNOWN: dict[int, tuple[str, str, str]] = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        (
            "output.full",
            "there is no room for it",
            "make room or write elsewhere, and run the same job again: parts that are finished are kept",
        ),
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        (
            "output.permission",
            "this user may not write there",
            "give the user that runs the job the right to write in the folder that holds the output",
        ),
    ),
    errno.ENAMETOOLONG: ("output.name", "a name in it is too long", "choose a shorter name"),
    errno.ENOENT: (
        "output.parent",
        "the folder that is to hold it does not exist, or went away",
        "make that folder first",
    ),
    errno.ENOTDIR: ("output.parent", "a part of its path is a file", "name a folder that exists"),
    errno.EIO: (
        "output.failed",
        "the disk reports an error",
        "look after the disk (`dmesg`), or write elsewhere, and run the same job again",
    ),
}


@contextmanager
def told(name: str, *, far: bool) -> Iterator[None]:
    """Turn what the system and Arrow raise into :class:`CannotWrite`; ``far`` whatever else an object store raises."""
    try:
        yield
    except (EnvelopeError, MemoryError):
        raise
    except OSError as error:
        raise _of_system(name, error) from error
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise CannotWrite(
            f"{name} cannot hold the rows: {error}",
            code="output.value",
            hint="leave the column out of --keep, or write another format",
        ) from error
    except Exception as error:
        if not far:
            raise
        raise CannotWrite(
            f"{name} cannot be written: {type(error).__name__}: {error}",
            code="output.failed",
            hint="see whether the address and the credentials are right, and run the same job again",
        ) from error


def _of_system(name: str, error: OSError) -> CannotWrite:
    reason = error.strerror or str(error) or type(error).__name__
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    code, what, hint = _KNOWN.get(
        error.errno or 0, ("output.failed", "the system refused", "see to the reason, and run the same job again")
    )
    return CannotWrite(f"{name} cannot be written: {what}: {reason}{where}", code=code, hint=hint)
