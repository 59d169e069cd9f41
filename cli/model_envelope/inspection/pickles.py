"""What a pickle imports, and whether it is a whole pickle: from its bytes alone."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from model_envelope.foundation.errors import InvalidPickle
from model_envelope.inspection.formats import JOBLIB, Format, recognise_format
from model_envelope.inspection.opcodes import HIGHEST_PROTOCOL, read_opcodes
from model_envelope.inspection.reading import Broken, Buffer, Global, Reading

__all__ = ["Global", "Scan", "scan_pickle"]

_MAPPED = 1 << 24
_MAIN = ("__main__", "__mp_main__")
_BY_VALUE = ("_make_function", "_make_skel_func", "_make_skeleton_class", "_make_skeleton_enum", "_make_empty_cell")
_BY_VALUE_DILL = ("_create_function", "_create_code", "_create_type")


@dataclass(frozen=True)
class Scan:
    """What the opcodes tell.

    ``globals`` are the names that loading imports, sorted; ``imports`` the modules that it imports as a whole (those
    that functions pickled by value use). ``main_names`` are those taken from ``__main__``, ``by_value`` says that code
    travels inside (cloudpickle, dill). ``root`` is the class of the pickled object, where the opcodes show it.
    ``hidden`` counts globals whose names are only made while loading: honest pickles have none.
    """

    protocol: int
    size: int
    globals: tuple[Global, ...]
    opcodes: int
    main_names: tuple[str, ...]
    by_value: bool
    imports: tuple[str, ...] = ()
    root: Global | None = None
    hidden: int = 0
    unknown_extensions: tuple[int, ...] = ()

    @property
    def references(self) -> tuple[tuple[str, str], ...]:
        """Everything that loading imports as (module, name), with an empty name for a whole module."""
        named = ((found.module, found.name) for found in self.globals)
        return (*named, *((module, "") for module in self.imports))


def scan_pickle(path: Path) -> Scan:
    """Read a pickle's opcodes. Nothing is imported and nothing is run.

    Raises :class:`InvalidPickle`: ``pickle.missing``, ``pickle.folder``, ``pickle.unreadable``, ``pickle.empty``,
    ``pickle.not-a-pickle`` (with the format that it seems to be), ``pickle.truncated``, ``pickle.damaged``,
    ``pickle.unknown-protocol``, ``pickle.trailing-bytes``, ``pickle.persistent-ids`` and ``pickle.out-of-band``.
    """
    if path.is_dir():
        raise InvalidPickle(
            f"`{path}` is a folder, expected the file of a pickled model",
            code="pickle.folder",
            hint="name the file: `envelope pack model.pkl`",
        )
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size == 0:
                raise InvalidPickle(
                    f"`{path}` is empty, expected a pickled model",
                    code="pickle.empty",
                    hint="it may not have been written to its end; close the file after `pickle.dump`",
                )
            if size < _MAPPED:
                return _scan(path, file.read())
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _scan(path, data)
    except FileNotFoundError:
        raise InvalidPickle(
            f"`{path}` does not exist", code="pickle.missing", hint="name the file that `pickle.dump` wrote"
        ) from None
    except OSError as error:
        raise InvalidPickle(
            f"`{path}` cannot be read: {error.strerror}", code="pickle.unreadable", hint="check its permissions"
        ) from None


def _scan(path: Path, data: Buffer) -> Scan:
    size = len(data)
    start: bytes = data[:64]
    reading = Reading()
    broken: Broken | None = None
    try:
        read_opcodes(data, reading)
    except Broken as error:
        broken = error
    seems = recognise_format(path, start)
    if any(found.module == "joblib.numpy_pickle" for found in reading.globals):
        seems = JOBLIB
    if (broken or reading.end != size or seems is JOBLIB) and seems:
        raise _other(path, seems)
    if broken:
        raise _not_whole(path, broken, size, reading)
    if reading.end != size:
        raise InvalidPickle(
            f"`{path}` goes on after its end: the pickle ends at byte {reading.end} of {size}",
            code="pickle.trailing-bytes",
            hint="write one model into one file, with one `pickle.dump`",
        )
    if reading.persistent:
        raise InvalidPickle(
            f"`{path}` refers to {reading.persistent} objects outside of it (persistent ids), which only the program "
            "that wrote it can find",
            code="pickle.persistent-ids",
            hint="write the model with a plain `pickle.dump`",
        )
    if reading.out_of_band:
        raise InvalidPickle(
            f"`{path}` has {reading.out_of_band} buffers outside of it (protocol 5 with a `buffer_callback`)",
            code="pickle.out-of-band",
            hint="write the model with `pickle.dump(model, file)`, without `buffer_callback`",
        )
    return _result(reading, size)


def _result(reading: Reading, size: int) -> Scan:
    found = tuple(sorted(reading.globals))
    by_value = any(
        (item.module.startswith("cloudpickle") and item.name in _BY_VALUE)
        or (item.module.startswith("dill") and item.name in _BY_VALUE_DILL)
        for item in found
    )
    return Scan(
        protocol=reading.protocol or 0,
        size=size,
        globals=found,
        opcodes=reading.opcodes,
        main_names=tuple(item.name for item in found if item.module in _MAIN),
        by_value=by_value,
        imports=tuple(sorted(reading.imports)),
        root=reading.root,
        hidden=reading.hidden,
        unknown_extensions=tuple(sorted(reading.unknown_extensions)),
    )


def _other(path: Path, seems: Format) -> InvalidPickle:
    return InvalidPickle(
        f"`{path}` is no pickle that can be packed: it is {seems.name}", code="pickle.not-a-pickle", hint=seems.advice
    )


def _not_whole(path: Path, broken: Broken, size: int, reading: Reading) -> InvalidPickle:
    if reading.protocol is None:
        return InvalidPickle(
            f"`{path}` is no pickle: {broken.what} (byte {broken.offset} of {size})",
            code="pickle.not-a-pickle",
            hint="name the file that `pickle.dump(model, file)` wrote",
        )
    if (reading.protocol or 0) > HIGHEST_PROTOCOL:
        return InvalidPickle(
            f"`{path}` is no pickle that is known: {broken.what}",
            code="pickle.unknown-protocol",
            hint=f"write it with `pickle.dump(model, file, protocol={HIGHEST_PROTOCOL})`",
        )
    if broken.short:
        return InvalidPickle(
            f"`{path}` is truncated: the pickle goes on after the file's last byte ({size})",
            code="pickle.truncated",
            hint="copy it again, or write it again and close the file after `pickle.dump`",
        )
    return InvalidPickle(
        f"`{path}` is damaged: {broken.what} (byte {broken.offset} of {size})",
        code="pickle.damaged",
        hint="copy or write it again; it is not what `pickle.dump` wrote",
    )
