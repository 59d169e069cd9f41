"""What a fitted model itself knows of its inputs and answers, and what it would refuse.

Libraries are recognised by the dotted names of classes; nothing is imported for it. A fact is held against samples only
where the method that is asked is its library's own: what a class of the user's does before it asks the fitted model
cannot be seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model_envelope.inference.encoders import accepted_values, is_finite, names_of, needed_columns
from model_envelope.inference.observations import columns_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature, Problem

LIBRARIES = frozenset({"sklearn", "xgboost", "lightgbm", "imblearn"})

CODE = "signature.disagreement"


@dataclass(frozen=True)
class Knowledge:
    """What the fitted model says of the first argument of its methods.

    ``features`` are the names of the columns that it was fitted with, ``needed`` those that it cannot do without; with
    ``exact`` it wants these and no others, in this order. ``accepted`` holds the values that an encoder does not
    refuse, of the columns that reach it untouched.
    """

    features: tuple[str, ...] = ()
    count: int | None = None
    needed: tuple[str, ...] = ()
    exact: bool = False
    classes: tuple[Any, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Give what is known as JSON values; what is not known is left out."""
        known = {
            "features": list(self.features),
            "feature_count": self.count,
            "feature_types": dict(self.types),
            "classes": list(self.classes),
            "accepted": {name: list(values) for name, values in self.accepted.items()},
        }
        return {name: value for name, value in known.items() if value}


def described(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the callable that says what the parameters are: a torch module is called, and its ``forward`` says them."""
    if any(_dotted(cls) == "torch.nn.modules.module.Module" for cls in type(function).__mro__):
        forward: Callable[..., Any] = function.forward  # type: ignore[attr-defined]
        return forward
    return function


def knowledge_of(model: Any, function: Callable[..., Any]) -> Knowledge:
    """Ask a fitted model what it knows."""
    if not any(cls.__module__.partition(".")[0] in LIBRARIES for cls in type(model).__mro__):
        return Knowledge()
    features = _features(model)
    known = Knowledge(features=features, count=_count(model, features), classes=_classes(model))
    home = str(getattr(inspect.unwrap(function), "__module__", None) or "").partition(".")[0]
    if home not in LIBRARIES or getattr(function, "__self__", None) is not model:
        return known
    needed, exact = needed_columns(model, features)
    accepted = accepted_values(model, features)
    return replace(known, needed=needed, exact=exact, types=_types(model, features), accepted=accepted)


def narrowed(kind: s.Type, knowledge: Knowledge, *, free: Collection[Any] = ()) -> s.Type:
    """Narrow the columns of a table to the values that the model does not refuse; the ``free`` ones are left alone."""
    if not isinstance(kind, s.Table) or not knowledge.accepted:
        return kind
    columns = tuple(
        column
        if _key(column) in free
        else replace(column, type=_narrowed(column.type, knowledge.accepted.get(_key(column), ())))
        for column in kind.columns
    )
    return replace(kind, columns=columns)


def strangers(kind: s.Type, value: Any, knowledge: Knowledge) -> dict[Any, list[Any]]:
    """Find the values in a sample that no encoder of the model knows, by column."""
    found: dict[Any, list[Any]] = {}
    if not isinstance(kind, s.Table) or not knowledge.accepted:
        return found
    for column, values in zip(kind.columns, columns_of(value).values(), strict=False):
        accepted = knowledge.accepted.get(_key(column), ())
        if accepted and (odd := {one for one in values if one is not None and is_finite(one)} - set(accepted)):
            found[_key(column)] = sorted(odd, key=str)
    return found


def refused(found: Mapping[Any, Sequence[Any]], knowledge: Knowledge, path: str) -> list[Problem]:
    """Say of values that no encoder knows where they are, and what it knows."""
    return [
        Problem(
            f"{path}[*].{name}",
            f"{_some(values)} in the samples",
            f"one of those that the model's encoder was fitted with: {_some(knowledge.accepted[name])}",
            CODE,
        )
        for name, values in found.items()
    ]


def objections(kind: s.Type, knowledge: Knowledge, path: str, *, asked: bool = False) -> list[Problem]:
    """List where the type of a sample contradicts what the model was fitted with.

    ``asked`` says that annotation and sample disagree already: then everything counts that the model remembers.
    """
    if asked:
        knowledge = replace(knowledge, needed=knowledge.features, exact=True)
    if isinstance(kind, s.Table):
        return [*_columns(kind, knowledge, path), *_values(kind, knowledge, path)]
    if isinstance(kind, s.Tensor) and len(kind.shape) == 2 and knowledge.exact:
        found = kind.shape[1]
        if None not in {found, knowledge.count} and found != knowledge.count:
            return [_count_differs(path, f"{found} features", knowledge.count)]
    return []


def disagreement(name: str, problems: Sequence[Problem]) -> InvalidSignature:
    """Make the one error that shows all sides."""
    annotated = any("annotation" in problem.expected for problem in problems)
    sides = "the annotation, the samples" if annotated else "the samples"
    return InvalidSignature(
        f"{sides} and the fitted model disagree about `{name}`",
        code=CODE,
        problems=problems,
        hint="give samples with the columns and types that the model was fitted with, and annotate it so",
    )


def _columns(kind: s.Table, knowledge: Knowledge, path: str) -> list[Problem]:
    found = [str(_key(column)) for column in kind.columns]
    if not knowledge.features:
        if knowledge.exact and knowledge.count is not None and len(found) != knowledge.count:
            return [_count_differs(path, f"{len(found)} columns", knowledge.count)]
        return []
    # LightGBM spells white space in the names of columns so.
    present = {*found, *(name.replace(" ", "_") for name in found)}
    problems = [
        Problem(f"{path}.{name}", "no such column in the samples", "a column that the model was fitted with", CODE)
        for name in knowledge.needed
        if name not in present
    ]
    if not knowledge.exact:
        return problems
    wanted = list(knowledge.features)
    for name in found:
        if name not in wanted and name.replace(" ", "_") not in wanted:
            expected = f"one of those that the model was fitted with: {_some(wanted)}"
            problems.append(Problem(f"{path}.{name}", "a column in the samples", expected, CODE))
    if not problems and [name.replace(" ", "_") for name in found] != [name.replace(" ", "_") for name in wanted]:
        expected = f"the order that the model was fitted with: {', '.join(wanted)}"
        problems.append(Problem(path, f"the columns {', '.join(found)} in the samples", expected, CODE))
    return problems


def _values(kind: s.Table, knowledge: Knowledge, path: str) -> list[Problem]:
    problems = []
    for column in kind.columns:
        accepted = knowledge.accepted.get(_key(column), ())
        text = {isinstance(value, str) for value in accepted}
        found = column.type
        if accepted and isinstance(found, s.Scalar) and (found.dtype == "string") not in text:
            expected = f"one of those that the model's encoder was fitted with: {_some(accepted)}"
            problems.append(Problem(f"{path}.{column.name}", f"{found.dtype} in the samples", expected, CODE))
    return problems


def _count_differs(path: str, found: str, count: int | None) -> Problem:
    return Problem(path, f"{found} in the samples", f"{count}, as the model was fitted with", CODE)


def _narrowed(kind: s.Type, accepted: tuple[Any, ...]) -> s.Type:
    if not accepted:
        return kind
    if isinstance(kind, s.Choice):
        known = {(type(value), value) for value in accepted}
        values = tuple(value for value in kind.values if (type(value), value) in known)
        return replace(kind, values=values) if values else kind
    # Numbers with a fraction stay free: JSON writes 1.0 as 1, and a choice would tell them apart.
    wanted = str if isinstance(kind, s.Scalar) and kind.dtype == "string" else int
    if isinstance(kind, s.Scalar) and (wanted is str or kind.dtype.startswith(("int", "uint"))):
        values = tuple(value for value in accepted if type(value) is wanted)
        return s.Choice(values, nullable=kind.nullable, metadata=kind.metadata) if values else kind
    return kind


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(value) for value in values[:5])
    return f"{shown}, … ({len(values)} in all)" if len(values) > 5 else shown


def _key(column: s.Column) -> Any:
    return column.name if column.key is None else column.key


def _features(model: Any) -> tuple[str, ...]:
    """Give the names of the columns that a model was fitted with, where it saw names."""
    if names := names_of(model):
        return names
    if _dotted(type(model)) == "xgboost.core.Booster":
        return tuple(model.feature_names or ())
    if _dotted(type(model)) == "lightgbm.basic.Booster":
        # LightGBM makes up these names for arrays, and writes its own characters for some of a table's.
        names = tuple(model.feature_name())
        return () if all(name == f"Column_{at}" for at, name in enumerate(names)) else names
    return ()


def _count(model: Any, features: tuple[str, ...]) -> int | None:
    count = _quietly(model, "n_features_in_")
    return int(count) if isinstance(count, int) or hasattr(count, "__index__") else len(features) or None


def _classes(model: Any) -> tuple[Any, ...]:
    found = _quietly(model, "classes_")
    values = found.tolist() if getattr(found, "ndim", 0) == 1 else ()
    return tuple(values) if all(map(is_finite, values)) else ()


def _types(model: Any, features: tuple[str, ...]) -> dict[str, str]:
    """Give what an XGBoost booster calls the types of its features."""
    booster = model
    if _dotted(type(model)).startswith("xgboost.sklearn."):
        booster = model.get_booster()
    if _dotted(type(booster)) != "xgboost.core.Booster":
        return {}
    names = features or tuple(map(str, range(booster.num_features())))
    return dict(zip(names, booster.feature_types or (), strict=False))


def _quietly(model: Any, name: str) -> Any:
    """Read a fitted attribute; a property of a model that has not been fitted raises."""
    try:
        return getattr(model, name, None)
    except Exception:  # noqa: BLE001  a property runs the library's code, and not knowing is no error
        return None


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
