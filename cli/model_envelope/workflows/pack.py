"""Packs a pickled model: scan, probe, find what it needs, lock, prove, seal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from model_envelope.dependencies import archives, capture
from model_envelope.dependencies.asked_modules import CodeSettings, read_code_settings
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.local_code import project_folders
from model_envelope.dependencies.needs import Dropped, Kept, Needs, Seen, Tried, find_needs
from model_envelope.dependencies.own_rules import Asked, Wish, idle, read_wishes, with_shipped
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.files import remove_tree, scratch_folder
from model_envelope.foundation.interpreter import find_interpreter
from model_envelope.foundation.progress import Done, Note, Report, Started, silent
from model_envelope.foundation.sizes import read_size
from model_envelope.foundation.words import named
from model_envelope.inference.probe import (
    USUAL,
    Found,
    Limits,
    Question,
    SampleFile,
    probe,
    search_folders,
)
from model_envelope.inference.trying import try_without
from model_envelope.inspection.frameworks import recognise
from model_envelope.inspection.pickles import Scan, scan_pickle
from model_envelope.runtime import signature_document
from model_envelope.runtime.local_imports import plain_name
from model_envelope.runtime.reading import Description, Loader
from model_envelope.store.draft import Draft, check_name, open_draft, suggest_name
from model_envelope.store.ledger import checked_metrics, checked_tags
from model_envelope.store.sealing import seal
from model_envelope.workflows.filtering import needed_packages
from model_envelope.workflows.locking import Aim, Goal
from model_envelope.workflows.pinning import Pinning, Ready, Search, pin
from model_envelope.workflows.provenance import describe_packing
from model_envelope.workflows.scripts import find_main, scripts_in
from model_envelope.workflows.settling import Settling
from model_envelope.workflows.wheels import take_along

__all__ = ["Aim", "Asked", "Label", "Limits", "PackResult", "SampleFile", "pack"]

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
    mended: tuple[str, ...] = ()
    """What the clean room lacked, and was added from the packing environment."""
    exposed: str = ""
    """Why the clean room was not taken off the network, where it was not."""


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
    minimal: bool = False,
    cpu: bool = False,
    network: bool = False,
    with_diff: bool = False,
    aim: Aim | None = None,
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
    no import names; ``code_limit`` is how many bytes of local code may travel, also as ``2GB``. ``with_diff`` keeps
    what git has not committed there beside the envelope; else only its digest is noted. ``aim`` is what the lock is for
    (default: this machine and the model's Python), ``resolver`` what makes it: ``conda-lock`` makes one of a conda
    environment. ``limits`` hold for loading and asking the model.

    ``minimal`` takes away the direct needs without which the model answers the same in a clean room, and ``network``
    lets the model use the network there. ``cpu`` locks for machines without a graphics card: builds for CPUs at the
    same versions, and nothing that is for graphics cards alone.

    Nothing appears in ``into`` unless everything went well. A proof needs a lock: without one it is left out, and so it
    is where the lock is for another platform or a Python that is not here; both are reported. What the clean room
    lacks, and is installed here, is added and reported.

    Raises :class:`EnvelopeError` of many kinds: whatever is wrong with the model, samples, names or lock.
    """
    label = label or Label()
    checked = _check(model, label, rows, unproven=minimal and not (lock and prove))
    asked, projects = asked or Asked(), [project or model.absolute().parent, Path.cwd()]
    wishes = read_wishes(asked, projects)
    settings = read_code_settings(modules, code_limit, projects, spelled=asked.spelled)
    interpreter = find_interpreter(python)
    how = Pinning.of(interpreter, aim or Aim(), resolver if lock else "auto", prove, minimal, network, cpu)
    report(Started("scan", f"Reading {model.name}"))
    scan = scan_pickle(model)
    report(Done("scan", f"Read {model.name}: {len(scan.globals)} names in {scan.opcodes} opcodes, nothing run"))
    with open_draft(into) as draft, scratch_folder() as scratch:
        near = search_folders(model, (*search, *settings.folders))
        folders = tuple(dict.fromkeys((*near, *project_folders(projects))))
        main = find_main(scan.main_names, folders, (settings.scripts, scripts_in(near))) if scan.main_names else None
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
        report(Done("probe", f"Loaded a {plain_name(found.model_class)}; {named(found.methods)} answered the samples"))
        _note(found.notes, report)
        report(Started("needs", "Finding what it needs"))
        sought = _needs(scan, question, found, wishes, main, settings, interpreter, limits, scratch, report)
        needs, installed = sought.needs, sought.installed
        capture.capture(
            needs.local,
            draft.folder / "code",
            limit=settings.limit,
            raised_by=settings.raised_by,
            behind=lambda folder: report(Note(f"results of a build or a run stay behind: {folder}")),
        )
        capture.capture_metadata(needs.local, installed, draft.folder / "code")
        report(Done("needs", _needs_text(needs)))
        _write(draft, model, scan, found, needs, installed, checked, main, how.goal)
        if lock:
            wanted = {wish.name for wish in wishes if wish.action == "keep"}
            ready = pin(draft, sought, how, report, sealed_on=found.machine, wanted=wanted)
        else:
            take_along(draft, needs, installed, index=None, report=report)
            ready = Ready(needs, needed_packages(needs, installed), cpu={} if cpu else None)
            if prove:
                report(Note("not proven: a proof needs the lock; `envelope lock ENVELOPE` adds both"))
        needs = ready.needs
        if not keep_samples:
            remove_tree(draft.folder / "samples")
        report(Started("seal", "Sealing"))
        witness = describe_packing(
            folder=project or model.absolute().parent,
            interpreter=found.interpreter.python,
            installed=installed,
            needs=needs,
            packages=ready.packages,
            resolver=ready.resolver,
            proven=ready.proven,
            proof=ready.proof,
            machine=found.machine,
            with_diff=with_diff,
            cpu=ready.cpu,
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
        mended=ready.mended,
        exposed=ready.exposed,
    )


def read_limits(seconds: float, memory: str | int | None) -> Limits:
    """Read limits as people write them. Raises :class:`InvalidInput` (``limit.memory``)."""
    size = read_size(memory, "the limit of memory", code="limit.memory") if isinstance(memory, str) else memory
    return Limits(seconds, size)


def _check(model: Path, label: Label, rows: int, *, unproven: bool) -> Label:
    """Refuse what can be refused before anything is run; ``unproven`` is what should be minimal without a proof."""
    if unproven:
        raise InvalidInput(
            "what can be taken away is found by trying in clean rooms, and neither lock nor proof may be left out",
            code="minimal.no-proof",
            hint="leave `--no-lock` and `--no-proof` out, or `--minimal`",
        )
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
) -> Search:
    """Find what the model needs, by evidence and, where that leaves doubts, by trying."""
    installed = Installed.read(found.path)
    loaded, roots = archives.unpack(
        found.modules,
        found.path,
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
        stdlib=found.stdlib,
        local_roots=[*question.search, *roots],
        modules=settings.modules,
        rules=with_shipped(wishes, installed),
        main=main,
    )
    needs = find()
    tried: Tried | None = None
    if needs.doubts:
        report(Started("needs", f"Trying without {named(doubt.name for doubt in needs.doubts)}"))
        attempt = partial(
            try_without, question=question, found=found, python=interpreter, scratch=scratch, limits=limits
        )
        tried = Settling(installed, attempt).settle(needs, report)
        needs = find(tried=tried) if tried else needs
    _note(idle(wishes, installed), report)
    return Search(needs, installed, lambda tried: find(tried=tried), tried or Tried())


def _write(
    draft: Draft,
    model: Path,
    scan: Scan,
    found: Found,
    needs: Needs,
    installed: Installed,
    label: Label,
    main: Path | None,
    goal: Goal,
) -> None:
    """Write everything but lock, ledger and provenance."""
    draft.copy(MODEL_FILE, model)
    framework = recognise(scan)
    known = installed.distributions.get(framework) if framework else None
    about = Description(
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
    draft.describe(goal.noted(about))
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


def _note(notes: Sequence[str], report: Report) -> None:
    for note in notes:
        report(Note(note))


def _needs_text(needs: Needs) -> str:
    local = f" and the local {named(item.name for item in needs.local)}" if needs.local else ""
    kept = ", ".join(f"{item.name} {item.version or item.specifier}".rstrip() for item in needs.kept) or "no packages"
    return f"Needs {kept}{local}; {len(needs.dropped)} others of this environment are left out"
