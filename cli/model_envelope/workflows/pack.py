"""Packs a pickled model: scan, probe, find what it needs, lock, prove, seal."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from model_envelope.dependencies import archives, capture
from model_envelope.dependencies.asked_modules import CodeSettings, read_code_settings
from model_envelope.dependencies.graph import Package, packages
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import project_folders
from model_envelope.dependencies.needs import Dropped, Kept, Needs, Seen, find_needs
from model_envelope.dependencies.own_rules import Asked, Wish, idle, read_wishes, with_shipped
from model_envelope.dependencies.resolvers import LockRequest, choose
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import remove_tree, scratch_folder
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.foundation.sizes import read_size
from model_envelope.inference.probe import (
    USUAL,
    Found,
    Limits,
    Question,
    SampleFile,
    find_interpreter,
    probe,
    search_folders,
)
from model_envelope.inference.trying import try_without
from model_envelope.inspection.frameworks import recognise
from model_envelope.inspection.pickles import Scan, scan_pickle
from model_envelope.runtime import signature_document
from model_envelope.runtime.errors import EnvelopeError
from model_envelope.runtime.local_imports import plain_name
from model_envelope.runtime.reading import Description, Loader
from model_envelope.store.draft import Draft, check_name, open_draft, suggest_name
from model_envelope.store.ledger import checked_metrics, checked_tags
from model_envelope.store.sealing import seal
from model_envelope.workflows import conda
from model_envelope.workflows.filtering import advise, filter_lock, locked_packages, needed_packages, room_packages
from model_envelope.workflows.provenance import describe_packing
from model_envelope.workflows.replaying import prove_draft
from model_envelope.workflows.settling import Settling
from model_envelope.workflows.system import note_libraries

__all__ = ["Asked", "Label", "Limits", "PackResult", "SampleFile", "find_main", "pack"]

MODEL_FILE = "model/model.pkl"


@dataclass(frozen=True)
class Label:
    """What people want to know of an envelope beside the model itself."""

    name: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    attachments: tuple[Path, ...] = ()


@dataclass(frozen=True)
class PackResult:
    """A sealed envelope: where it is, what it needs, and whether its lock was proven in a clean room."""

    path: Path
    digest: str
    name: str
    methods: tuple[str, ...]
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    local: tuple[str, ...]
    locked: bool
    proven: bool


def pack(
    model: Path,
    *,
    samples: SampleFile,
    answers: SampleFile | None = None,
    methods: Sequence[str] = (),
    label: Label | None = None,
    python: str | None = None,
    rows: int = 5,
    columns: Sequence[str] = (),
    asked: Asked | None = None,
    project: Path | None = None,
    modules: Sequence[str] = (),
    code_limit: str | int | None = None,
    keep_samples: bool = True,
    lock: bool = True,
    prove: bool = True,
    resolver: str = "auto",
    platforms: Sequence[str] = (),
    with_diff: bool = False,
    limits: Limits = USUAL,
    into: Path = Path(),
    search: Sequence[Path] = (),
    report: Report = silent,
) -> PackResult:
    """Seal a pickled model as ``<name>-<digest>`` in the folder ``into``.

    ``columns`` gives types to columns of the samples, each as ``NAME=TYPE``. ``search`` names folders of local modules
    beside the model's own and the current one; those of the projects around these come last. ``asked`` are the user's
    rules for packages; those of a project's pyproject.toml are looked for upwards from ``project`` (default: the
    model's folder), then from the current folder. ``modules`` are local modules, or modules of installed packages, that
    no import names; ``code_limit`` is how many bytes of local code may travel, also as ``2GB``. ``resolver`` makes the
    lock; ``conda-lock`` makes one of a conda environment, for ``platforms`` (default: this one and linux-64).
    ``with_diff`` keeps
    what git has not committed there beside the envelope; else only its digest is noted. ``limits`` hold for loading and
    asking the model.

    Nothing appears in ``into`` unless everything went well. A proof needs a lock: without one it is left out.

    Raises :class:`EnvelopeError` of many kinds: whatever is wrong with the model, samples, names or lock.
    """
    label = label or Label()
    checked = _check(model, label, rows)
    asked, projects = asked or Asked(), [project or model.absolute().parent, Path.cwd()]
    wishes = read_wishes(asked, projects)
    settings = read_code_settings(modules, code_limit, projects, spelled=asked.spelled)
    interpreter = find_interpreter(python)
    for_conda = conda.plan(interpreter, platforms) if lock and resolver == conda.NAME else None
    if platforms and for_conda is None:
        raise InvalidInput(
            "platforms can be named for a lock of a conda environment only",
            code="lock.platform",
            hint="add `--resolver conda-lock`, or leave `--platform` out",
        )
    report(Started("scan", f"Reading {model.name}"))
    scan = scan_pickle(model)
    report(Done("scan", f"Read {model.name}: {len(scan.globals)} names in {scan.opcodes} opcodes, nothing run"))
    with open_draft(into) as draft, scratch_folder() as scratch:
        near = search_folders(model, (*search, *settings.folders))
        folders = tuple(dict.fromkeys((*near, *project_folders(projects))))
        main = find_main(scan.main_names, folders, (settings.scripts, _scripts(near))) if scan.main_names else None
        report(Started("probe", "Loading the model and asking it the samples"))
        question = Question(
            model,
            samples,
            answers,
            tuple(methods),
            rows,
            folders,
            columns=tuple(columns),
            main=None if main is None else main.stem,
        )
        found = probe(question, python=interpreter, scratch=scratch, limits=limits)
        report(Done("probe", f"Loaded a {plain_name(found.model_class)}; {_and(found.methods)} answered the samples"))
        for note in found.notes:
            report(Note(note))
        report(Started("needs", "Finding what it needs"))
        needs, installed = _needs(scan, question, found, wishes, main, settings, interpreter, limits, scratch, report)
        for note in idle(wishes, installed):
            report(Note(note))
        capture.capture(
            needs.local,
            draft.folder / "code",
            limit=settings.limit,
            raised_by=settings.raised_by,
            behind=lambda folder: report(Note(f"results of a build or a run stay behind: {folder}")),
        )
        capture.capture_metadata(needs.local, installed, draft.folder / "code")
        report(Done("needs", _needs_text(needs)))
        _write(draft, model, scan, found, needs, installed, checked, main)
        if for_conda is not None:
            ready = _lock_and_prove_for_conda(draft, for_conda, needs, installed, report, prove=prove)
        elif lock:
            ready = _lock_and_prove(draft, resolver, needs, installed, interpreter, report, prove=prove)
        else:
            ready = _Ready(needs, needed_packages(needs, installed))
            if prove:
                report(Note("not proven: a proof needs the lock; `envelope lock ENVELOPE` adds both"))
        needs = ready.needs
        if not keep_samples:
            remove_tree(draft.folder / "samples")
        report(Started("seal", "Sealing"))
        witness = describe_packing(
            folder=project or model.absolute().parent,
            interpreter=found.interpreter.executable,
            installed=installed,
            needs=needs,
            packages=ready.packages,
            resolver=ready.resolver,
            proven=ready.proven,
            with_diff=with_diff,
        )
        witness.write_difference(draft)
        if with_diff and not witness.document["git"]:
            report(Note("no uncommitted changes are kept: the model is in no git checkout, or git is not installed"))
        envelope = seal(
            draft,
            into,
            name=checked.name or "",
            provenance=witness.document,
            tags=checked.tags,
            metrics=checked.metrics,
        )
        report(Done("seal", f"Sealed {envelope.path.name}"))
    return PackResult(
        path=envelope.path,
        digest=envelope.digest,
        name=envelope.description.name,
        methods=tuple(found.methods),
        kept=needs.kept,
        dropped=needs.dropped,
        local=tuple(item.name for item in needs.local),
        locked=lock,
        proven=ready.proven,
    )


def read_limits(seconds: float, memory: str | int | None) -> Limits:
    """Read limits as people write them. Raises :class:`InvalidInput` (``limit.memory``)."""
    size = read_size(memory, "the limit of memory", code="limit.memory") if isinstance(memory, str) else memory
    return Limits(seconds, size)


def _check(model: Path, label: Label, rows: int) -> Label:
    """Refuse what can be refused before anything is run."""
    if rows < 1:
        raise InvalidInput(
            f"{rows} sample rows cannot be kept, expected 1 or more",
            code="samples.rows",
            hint="`--no-samples` seals none",
        )
    name = check_name(label.name) if label.name is not None else suggest_name(model.stem) or "model"
    seen: set[str] = set()
    for path in label.attachments:
        if not path.is_file():
            raise InvalidInput(
                f"there is no file to attach at {path}", code="attachment.missing", hint="name a file that exists"
            )
        if path.name in seen:
            raise InvalidInput(
                f"two attachments are called {path.name}", code="attachment.twice", hint="rename one of them"
            )
        seen.add(path.name)
    return Label(
        name=name,
        description=label.description,
        tags=checked_tags(label.tags),
        metrics=checked_metrics(label.metrics),
        hyperparameters=_plain_parameters(label.hyperparameters),
        attachments=label.attachments,
    )


def _plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    from model_envelope.foundation.files import json_bytes

    plain = {}
    for name, value in parameters.items():
        number = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
        try:
            json_bytes({str(name): number})
        except (TypeError, ValueError):
            raise InvalidInput(
                f"the hyperparameter `{name}` is a {type(value).__name__} that JSON cannot hold ({value!r:.60})",
                code="parameter.not-json",
                hint="give numbers, strings, booleans, null, or lists and dicts of them",
            ) from None
        plain[str(name)] = number
    return plain


def _needs(
    scan: Scan,
    question: Question,
    found: Found,
    wishes: Sequence[Wish],
    main: Path | None,
    settings: CodeSettings,
    interpreter: Path,
    limits: Limits,
    scratch: Path,
    report: Report,
) -> tuple[Needs, Installed]:
    """Find what the model needs, by evidence and, where that leaves doubts, by trying."""
    installed = Installed.read(found.interpreter.path)
    loaded, roots = archives.unpack(
        found.modules,
        found.interpreter.path,
        scratch / "unpacked",
        limit=settings.limit,
        raised_by=settings.raised_by,
    )
    traced = found.traced
    find = partial(
        find_needs,
        scan_globals=scan.references,
        by_value=found.by_value,
        seen=Seen(
            loaded, traced.importers, traced.entry_points, frozenset(traced.late), traced.opened, found.preloaded
        ),
        flavors=found.flavors,
        installed=installed,
        stdlib=found.interpreter.stdlib,
        local_roots=[*question.search, *roots],
        modules=settings.modules,
        rules=with_shipped(wishes, installed),
        main=main,
    )
    needs = find()
    if needs.doubts:
        report(Started("needs", f"Trying without {_and(doubt.name for doubt in needs.doubts)}"))
        attempt = partial(
            try_without, question=question, found=found, python=interpreter, scratch=scratch, limits=limits
        )
        tried = Settling(installed, attempt).settle(needs, report)
        needs = find(tried=tried) if tried else needs
    return needs, installed


def _write(
    draft: Draft,
    model: Path,
    scan: Scan,
    found: Found,
    needs: Needs,
    installed: Installed,
    label: Label,
    main: Path | None,
) -> None:
    """Write everything but lock, ledger and provenance."""
    draft.copy(MODEL_FILE, model)
    framework = recognise(scan)
    known = installed.distributions.get(framework) if framework else None
    draft.describe(
        Description(
            name=label.name or "",
            description=label.description,
            methods=found.methods,
            loader=Loader("pickle", MODEL_FILE, None if main is None else main.stem),
            python=found.interpreter.series,
            implementation=found.interpreter.implementation,
            platform=found.interpreter.platform,
            framework={"name": framework, "version": known.version} if framework and known else {},
            hyperparameters=label.hyperparameters,
        )
    )
    draft.write_json("signature.json", _as_authored(signature_document.to_document(found.signature)))
    draft.write_json("observations.json", found.observations)
    draft.write("env/requirements.in", needs.requirements)
    for method, sample in found.samples.items():
        draft.write_json(f"samples/{method}.input.json", sample["input"])
        draft.write_json(f"samples/{method}.output.json", sample["output"])
    for path in label.attachments:
        draft.copy(f"attachments/{path.name}", path)


def _as_authored(document: Any) -> Any:
    """Name the classes of local modules as their authors do, whatever they were loaded as here."""
    if isinstance(document, dict):
        return {key: _as_authored(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_as_authored(value) for value in document]
    return plain_name(document) if isinstance(document, str) else document


@dataclass(frozen=True)
class _Ready:
    """What is to be sealed, once it is locked and proven as far as that was asked for."""

    needs: Needs
    packages: tuple[Package, ...]
    resolver: str | None = None
    proven: bool = False


def _lock_and_prove(
    draft: Draft, name: str, needs: Needs, installed: Installed, interpreter: Path, report: Report, *, prove: bool
) -> _Ready:
    used, locked, needs = _lock(draft, name, needs, installed, interpreter, report)
    if prove:
        _prove(draft, locked, interpreter, needs, installed, report)
    inside = locked_packages(locked, needs, installed, room_of=interpreter if prove else None)
    place = room_packages(locked, interpreter) if prove else installed
    note_libraries(draft, locked, place, report, room=prove)
    return _Ready(needs, inside, used, prove)


def _lock(
    draft: Draft, name: str, needs: Needs, installed: Installed, interpreter: Path, report: Report
) -> tuple[str, Lock, Needs]:
    resolver = choose(name)
    report(Started("lock", f"Locking with {resolver.name}"))
    request = LockRequest(
        requirements=needs.requirements,
        constraints=installed.versions,
        origins=installed.origins,
        python=interpreter,
        index=IndexSettings.from_environment(),
    )
    try:
        found = resolver.lock(request)
    except EnvelopeError as error:
        advise(error, needs, installed)
        raise
    locked, gone = filter_lock(found, needs.left_out, report)
    draft.write("env/requirements.lock", locked.to_bytes())
    report(Done("lock", f"Locked {len(locked.pins)} distributions with hashes ({resolver.name})"))
    return resolver.name, locked, needs.locked(locked.versions(), gone)


def _prove(draft: Draft, lock: Lock, interpreter: Path, needs: Needs, installed: Installed, report: Report) -> None:
    try:
        replays = prove_draft(draft, lock, python=interpreter, report=report)
    except EnvelopeError as error:
        advise(error, needs, installed)
        raise
    report(Done("prove", f"Proven in a clean room: {_and(replay.method for replay in replays)} answer as here"))


def _lock_and_prove_for_conda(
    draft: Draft, chosen: conda.Plan, needs: Needs, installed: Installed, report: Report, *, prove: bool
) -> _Ready:
    along = {item.name: item.version for item in needed_packages(needs, installed)}
    versions = installed.versions
    try:
        locked, gone = conda.lock_draft(
            draft,
            chosen,
            requirements=needs.requirements,
            along={name: version for name, version in along.items() if name in versions},
            left_out=needs.left_out,
            origins=installed.origins,
            report=report,
        )
        replays = conda.prove_draft(draft, locked, report) if prove else None
    except EnvelopeError as error:
        advise(error, needs, installed)
        raise
    if replays is not None:
        names = _and(replay.method for replay in replays)
        report(Done("prove", f"Proven in an environment made from the conda lock: {names} answer as here"))
    inside = packages(locked.versions(), [item.name for item in needs.kept], [installed])
    return _Ready(needs.locked(locked.versions(), gone), inside, conda.NAME, replays is not None)


def find_main(names: Sequence[str], folders: Sequence[Path], first: Sequence[Sequence[Path]] = ()) -> Path:
    """Find the script whose definitions a pickle calls ``__main__.<name>``: in ``folders``.

    ``first`` are groups of scripts that are looked at before, one after the other.

    Raises :class:`InvalidInput` (``pickle.main``) where no script, or more than one, defines all of them.
    """
    found: dict[Path, None] = {}
    for candidates in (*first, _scripts(folders)):
        found |= dict.fromkeys(path.resolve() for path in candidates if set(names) <= _defined(path))
        if found:
            break
    if len(found) == 1:
        return next(iter(found))
    wanted = ", ".join(f"`{name}`" for name in names)
    what = "no script there defines them" if not found else f"{len(found)} scripts define them: "
    raise InvalidInput(
        f"the pickle refers to {wanted} in the script that was run as `__main__`, and {what}"
        + ", ".join(str(path) for path in found)
        + f" (looked in {', '.join(map(str, folders))})",
        code="pickle.main",
        hint="name the script with `--module PATH`, run pack from its folder, or move them into a module of their own "
        "and save the model again",
    )


def _scripts(folders: Sequence[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


def _defined(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return set()
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _and(words: Any) -> str:
    listed = [f"`{word}`" for word in words]
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def _needs_text(needs: Needs) -> str:
    local = f" and the local {_and(item.name for item in needs.local)}" if needs.local else ""
    kept = ", ".join(f"{item.name} {item.version or item.specifier}".rstrip() for item in needs.kept) or "no packages"
    return f"Needs {kept}{local}; {len(needs.dropped)} others of this environment are left out"
