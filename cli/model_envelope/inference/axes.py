"""Which axis of its arrays a method has its rows along, where that is not the first: found by asking.

Features by samples, or time by batch by feature: such a method refuses fewer entries of the first axis, or its answer
has none a row there, and along another axis it treats every entry alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model_envelope.inference import rows
from model_envelope.inference.behaviour import Asked, Behaviour, apart_in_parts, chosen_rows, rows_of, widened
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import EnvelopeError


@dataclass(frozen=True)
class Axes:
    """Where the rows are: the axis of each argument that holds them, and that of the answer.

    ``free`` says that the first axis of the arguments may have another length too.
    """

    arguments: Mapping[str, int]
    answer: int
    count: int
    free: bool

    def rows_first(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Swap the axis of the rows to the front; swapped again the arguments are what they were."""
        return {
            name: value.swapaxes(0, self.arguments[name]) if name in self.arguments else value
            for name, value in arguments.items()
        }

    def kept(self, arguments: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
        """Give the arguments with the rows at these places alone."""
        first = self.rows_first(arguments)
        cut = {name: rows.take(first[name], places) for name in self.arguments}
        return self.rows_first({**first, **cut})

    def typed(self, kind: s.Tensor, axis: int, shape: tuple[int, ...], length: int) -> s.Tensor:
        """Give the type of an array whose rows are along an axis; ``length`` is what the first axes may vary from."""
        sizes = tuple(None if at == axis or (self.free and size == length) else size for at, size in enumerate(shape))
        return replace(kind, shape=sizes, batch=axis)


def find_axes(asked: Asked, tolerance: s.Tolerance) -> tuple[Axes, Behaviour] | None:
    """Look for an axis other than the first along which a method treats its rows alone; None where there is none.

    ``asked.encode`` has to write answers of any shape.
    """
    batch, count = rows.batches(asked.arguments)
    if not batch or count is None or count < 2 or not all(_is_dense(value) for value in batch.values()):
        return None
    fewer = _answer_to_fewer(asked, batch, count)
    if fewer is not None and rows.count(asked.answer) == count and rows.count(fewer) == count - 1:
        return None  # the first axis is that of the rows, and they depend on each other
    for axes in _candidates(asked, batch, free=fewer is not None):
        kept, notes = chosen_rows(axes.count, asked.seconds)
        moved = _moved(asked, axes)
        apart = apart_in_parts(moved, {name: moved.arguments[name] for name in batch}, kept, axes.count, tolerance)
        if apart is not None:
            return axes, Behaviour(s.Answer.YES, s.Answer.YES, widened(tolerance, apart), notes)
    return None


def _answer_to_fewer(asked: Asked, batch: Mapping[str, Any], count: int) -> Any | None:
    """Ask without the last entry of the first axis; None where the model refuses."""
    fewer = {name: rows.take(value, range(count - 1)) for name, value in batch.items()}
    try:
        return asked.ask({**asked.arguments, **fewer})
    except EnvelopeError:
        return None


def _candidates(asked: Asked, batch: Mapping[str, Any], *, free: bool) -> Iterator[Axes]:
    first = next(iter(batch.values()))
    for axis in range(1, first.ndim):
        count = int(first.shape[axis])
        alike = all(value.ndim > axis and value.shape[axis] == count for value in batch.values())
        if not alike or count < 2:
            continue
        for at in _answer_axes(asked, count):
            yield Axes(dict.fromkeys(batch, axis), at, count, free)


def _answer_axes(asked: Asked, count: int) -> list[int]:
    """List the axes along which an answer may have so many rows."""
    if _is_dense(asked.answer):
        return [at for at, length in enumerate(asked.answer.shape) if length == count]
    return [] if rows_of(asked.encode(asked.answer), count) is None else [0]


def _moved(asked: Asked, axes: Axes) -> Asked:
    """Give the same question with the rows along the first axes."""

    def forward(answer: Any) -> Any:
        return answer.swapaxes(0, axes.answer) if axes.answer and _is_dense(answer) else answer

    def ask(arguments: Mapping[str, Any]) -> Any:
        return forward(asked.ask(axes.rows_first(arguments)))

    return replace(asked, arguments=axes.rows_first(asked.arguments), answer=forward(asked.answer), ask=ask)


def _is_dense(value: Any) -> bool:
    name = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    return name in {"numpy.ndarray", "torch.Tensor"} and value.ndim > 0
