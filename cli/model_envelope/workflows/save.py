"""``save_model``: packing from inside the script or notebook that trained the model."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.progress import Report, silent
from model_envelope.inference.probe import SampleFile
from model_envelope.workflows.open import Envelope, load_envelope
from model_envelope.workflows.pack import Aim, Asked, Label, pack, read_limits


def save_model(
    *,
    model: Any,
    instance_name: str,
    instance_description: str = "",
    query_function: str | Sequence[str] = "predict",
    api_input: Any,
    api_output: Any = None,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    lock: bool = True,
    prove: bool = True,
    resolver: str = "auto",
    platforms: Sequence[str] = (),
    python_version: str | None = None,
    cpu: bool = False,
    minimal: bool = False,
    allow_network: bool = False,
    sample_rows: int = 5,
    keep_samples: bool = True,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    replace: Mapping[str, str] | None = None,
    modules: Sequence[str] = (),
    code_limit: str | int | None = None,
    attachments: Sequence[str | Path] = (),
    with_diff: bool = False,
    time_limit: float = 600.0,
    memory_limit: str | int | None = None,
    into: str | Path = ".",
    report: Report = silent,
) -> Envelope:
    """Seal a model that is in memory, and give the sealed envelope.

    ``model`` is anything that can be pickled; what was defined in the script or notebook itself travels by value.
    ``query_function`` names the method or methods that answer. ``api_input`` are sample inputs, or a dict of them keyed
    by parameter; ``api_output`` are the model's answers to them, compared where they are given. ``lock=False`` leaves
    the lock to a later ``envelope lock``, in CI for instance; ``prove=False`` leaves out the replay in a clean room.
    ``platforms`` (``linux/arm64``) and ``python_version`` (``3.13``) say what the lock is for, by default this machine
    and this Python, and ``resolver`` what makes it (``auto``, ``uv``, ``pip-tools``, or ``conda-lock`` for a conda
    environment). ``cpu`` locks for machines without a graphics card: builds for CPUs at the same versions, and nothing
    that is for graphics cards alone. ``minimal`` leaves out the direct needs without which the model answers the same
    in the clean room, and ``allow_network`` lets the model use the network there. ``sample_rows`` is how many of the
    sample rows are sealed; ``keep_samples=False`` seals none.
    ``keep`` and ``drop`` name packages, ``replace`` maps packages to those that take their place, with a version where
    it matters (``{"xgboost": "xgboost-cpu==3.0.2"}``): they win over ``[tool.envelope]`` of the pyproject.toml that is
    nearest to the script or the current folder. ``modules`` names local modules, or modules of installed packages, that
    no import names (they are loaded by a computed name), also by the path of a file or folder; ``code_limit`` is how
    many bytes of local code may travel (``"2GB"``). ``with_diff`` keeps what git has not committed there beside the
    envelope; else only its digest is noted. ``time_limit`` (seconds) and ``memory_limit`` (bytes, or ``"4GB"``) hold
    for loading and asking the model, which happens in a process of its own.

    Raises :class:`EnvelopeError`: whatever is wrong with model, samples, names or lock. Nothing is left half-written.
    """
    methods = (query_function,) if isinstance(query_function, str) else tuple(query_function)
    with scratch_folder() as scratch:
        file = scratch / "model.pkl"
        file.write_bytes(_dump(model, "the model"))
        result = pack(
            file,
            samples=_sample(api_input, scratch / "input.pkl", "api_input"),
            answers=None if api_output is None else _sample(api_output, scratch / "output.pkl", "api_output"),
            methods=methods,
            label=Label(
                name=instance_name,
                description=instance_description,
                tags=tags or {},
                metrics=metrics or {},
                hyperparameters=hyperparameters or {},
                attachments=tuple(Path(path) for path in attachments),
            ),
            asked=Asked(_names(keep), _names(drop), tuple((replace or {}).items()), spelled="{}="),
            project=_script_folder(),
            modules=_names(modules),
            code_limit=code_limit,
            rows=sample_rows,
            keep_samples=keep_samples,
            lock=lock,
            prove=prove,
            resolver=resolver,
            aim=Aim.read(_names(platforms), python_version),
            minimal=minimal,
            cpu=cpu,
            network=allow_network,
            with_diff=with_diff,
            limits=read_limits(time_limit, memory_limit),
            into=Path(into),
            search=_import_folders(),
            report=report,
        )
    return load_envelope(result.path)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _script_folder() -> Path:
    """Give the folder of the script that runs; in a notebook the current one. The pickle's is no one's project."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return Path(script).absolute().parent if script else Path.cwd()


def _sample(value: Any, path: Path, name: str) -> SampleFile:
    path.write_bytes(_dump(value, name))
    return SampleFile(path, name)


def _dump(value: Any, what: str) -> bytes:
    """Pickle with cloudpickle: what the running script defines goes by value, everything else by reference."""
    import cloudpickle

    try:
        dumped: bytes = cloudpickle.dumps(value, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(
            f"{what} is a {type(value).__qualname__} that cannot be pickled: {error}",
            code="model.not-picklable",
            hint="open files, locks, connections and generators cannot be pickled: make them when they are needed",
        ) from None
    return dumped


def _import_folders() -> list[Path]:
    """Give the folders that this process imports local modules from: what is on its path and no part of Python."""
    installed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    folders = [Path(entry or ".").resolve() for entry in sys.path]
    return [folder for folder in folders if folder.exists() and not installed & {folder, *folder.parents}]
