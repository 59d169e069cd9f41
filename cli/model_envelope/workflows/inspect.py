"""Says what a pickle would load. Reads its opcodes and runs nothing of it."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from model_envelope.dependencies.installed import Installed
from model_envelope.inspection.frameworks import recognise
from model_envelope.inspection.pickles import scan_pickle
from model_envelope.inspection.suspicions import Suspicion, suspicions

# Python 2 called two of its modules otherwise, and pickles of protocol 2 and older still say so.
_STANDARD = sys.stdlib_module_names | {"__builtin__", "copy_reg"}


@dataclass(frozen=True)
class Owned:
    """A distribution of this environment, and the globals of the pickle that come from it."""

    name: str
    version: str
    globals: tuple[str, ...]


@dataclass(frozen=True)
class InspectResult:
    """What a pickle names.

    ``root`` is the class of the pickled object, where the opcodes show it. ``unknown`` are globals of modules that no
    distribution here owns: local code, or packages that are missing here. ``main`` are names of the script that wrote
    the pickle, ``by_value`` says that code is inside the pickle itself, and ``hidden`` counts globals whose names are
    only made while it is loaded.
    """

    path: Path
    size: int
    protocol: int
    opcodes: int
    root: str | None
    framework: str | None
    distributions: tuple[Owned, ...]
    standard_library: tuple[str, ...]
    unknown: tuple[str, ...]
    main: tuple[str, ...]
    by_value: bool
    hidden: int
    suspicious: tuple[Suspicion, ...]


def inspect(pickle: Path) -> InspectResult:
    """Scan a pickle and look up who owns what it names, in the environment of this interpreter.

    Raises ``InvalidPickle`` where the file is none, or not a whole one.
    """
    scan = scan_pickle(pickle)
    installed = Installed.read(sys.path)
    owned: dict[str, list[str]] = defaultdict(list)
    standard: list[str] = []
    unknown: list[str] = []
    for module, name in scan.references:
        spelled = f"{module}.{name}" if name else module
        owners = installed.owners(module)
        if module in {"__main__", "__mp_main__"}:
            continue
        if module.partition(".")[0] in _STANDARD:
            standard.append(spelled)
        elif owners:
            owned[owners[0]].append(spelled)
        else:
            unknown.append(spelled)
    return InspectResult(
        path=pickle,
        size=scan.size,
        protocol=scan.protocol,
        opcodes=scan.opcodes,
        root=f"{scan.root.module}.{scan.root.name}" if scan.root else None,
        framework=recognise(scan),
        distributions=tuple(
            Owned(name, installed.distributions[name].version, tuple(names)) for name, names in sorted(owned.items())
        ),
        standard_library=tuple(standard),
        unknown=tuple(unknown),
        main=scan.main_names,
        by_value=scan.by_value,
        hidden=scan.hidden,
        suspicious=suspicions(scan.references),
    )
