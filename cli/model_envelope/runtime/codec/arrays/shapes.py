"""Nested JSON arrays as what they are: leaves in a row, and a shape."""

from __future__ import annotations

from itertools import chain
from typing import Any

from model_envelope.runtime.codec.base import describe
from model_envelope.runtime.errors import Problems

Shape = tuple[int | None, ...]


def flatten(value: Any, dimensions: int, path: str, problems: Problems) -> tuple[list[Any], Shape] | None:
    """Collect the leaves of nested arrays and give their shape; None, with problems noted, where they are ragged.

    Where a dimension has no items, what is below it is not known: None. Only as many levels are looked at as there are
    dimensions, so depth costs nothing.
    """
    found = _at_once(value, dimensions)
    if found is not None:
        return found
    leaves: list[Any] = []
    before = problems.count
    shape = _level(value, 0, dimensions, path, problems, leaves)
    if shape is None or problems.count > before:
        return None
    return leaves, shape


def _at_once(value: Any, dimensions: int) -> tuple[list[Any], Shape] | None:
    """Flatten level by level, each in one go; None where anything is odd or empty."""
    if dimensions == 0 or type(value) is not list:
        return None
    shape: list[int | None] = [len(value)]
    level = value
    for _ in range(dimensions - 1):
        if set(map(type, level)) != {list}:
            return None
        lengths = set(map(len, level))
        if len(lengths) > 1:
            return None
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return None if list in set(map(type, level)) else (level, tuple(shape))


def _level(value: Any, depth: int, dimensions: int, path: str, problems: Problems, leaves: list[Any]) -> Shape | None:
    if depth == dimensions:
        if type(value) is list:
            problems.add(path, describe(value), "a value: the array is nested too deeply", "payload.shape")
            return None
        leaves.append(value)
        return ()
    if type(value) is not list:
        code = "payload.null" if value is None else "payload.type"
        more = dimensions - depth
        problems.add(path, describe(value), f"an array ({more} more dimension{'s' * (more > 1)})", code)
        return None
    found = [_level(item, depth + 1, dimensions, f"{path}[{at}]", problems, leaves) for at, item in enumerate(value)]
    shapes = {shape for shape in found if shape is not None}
    if len(shapes) > 1:
        lengths = sorted({str(shape[0]) for shape in shapes})
        told = "rows of different lengths" + (f" ({', '.join(lengths[:3])})" if len(lengths) > 1 else "")
        problems.add(path, told, "rows of one length", "payload.ragged")
        return None
    inner = shapes.pop() if shapes else (None,) * (dimensions - depth - 1)
    return (len(value), *inner)


def fits(shape: Shape, wanted: Shape) -> bool:
    """Tell whether a shape is one of those wanted."""
    return len(shape) == len(wanted) and all(
        want is None or size is None or want == size for size, want in zip(shape, wanted, strict=True)
    )


def settled(shape: Shape, wanted: Shape) -> list[int]:
    """Fill in what an array without items does not tell."""
    return [(want or 0) if size is None else size for size, want in zip(shape, wanted, strict=True)]


def text(shape: Shape) -> str:
    """Write a shape for people: ``[any, 3]``."""
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def place(at: int, shape: tuple[int, ...]) -> str:
    """Write the place of a leaf: ``[17][2]``."""
    places = []
    for size in reversed(shape):
        places.append(at % size)
        at //= size
    return "".join(f"[{index}]" for index in reversed(places))


def nest(leaves: list[Any], shape: tuple[int, ...]) -> Any:
    """Make nested arrays of leaves."""
    import numpy as np

    array = np.empty(len(leaves), dtype=object)
    for at, leaf in enumerate(leaves):
        array[at] = leaf
    return array.reshape(shape).tolist()
