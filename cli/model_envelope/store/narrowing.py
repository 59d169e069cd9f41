"""Where one type admits JSON that another one does not: each place, with a value that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from model_envelope.foundation import spelling
from model_envelope.runtime import signature as s
from model_envelope.store.shapes import PROBES, Array, Fixed, Language, Named, Object, Shape, options, same, shape_of

_NOWHERE = "not there"


@dataclass(frozen=True)
class Finding:
    """A difference between two types. ``witness`` holds the JSON value that only the old one admits, where one does."""

    path: str
    was: str
    now: str
    witness: tuple[Any, ...] = ()
    breaking: bool = False

    def within(self, wrap: Callable[[Any], Any]) -> Finding:
        """Give the same finding with its witness inside a larger value."""
        return replace(self, witness=tuple(wrap(value) for value in self.witness))


class Narrowing:
    """Finds where a type admits a JSON value that another one does not."""

    def __init__(self, old: Language, new: Language, *, answers: bool = False) -> None:
        self.old, self.new = old, new
        self.answers = answers
        self.seen: set[tuple[str, str]] = set()

    def differences(self, old: s.Type, new: s.Type, path: str) -> Iterator[Finding]:
        """Give each difference; a pair of types that contains itself is looked at once."""
        if isinstance(old, s.Reference) or isinstance(new, s.Reference):
            pair = (repr(old), repr(new))
            if pair in self.seen:
                return
            self.seen.add(pair)
            old, new = self.old.resolve(old), self.new.resolve(new)
        elif same(old, new) and repr(self.old.definitions) == repr(self.new.definitions):
            return
        if old.nullable and not isinstance(old, s.Any) and not self.new.admits(new, None):
            yield Finding(path, *self._words(old, new), (None,))
            old = s.with_nullable(old, False)
        if isinstance(new, s.Any):
            if not isinstance(old, s.Any):
                yield self._change(path, old, new)
            return
        if isinstance(old, s.Union):
            for option in options(old):
                yield from self.differences(s.with_nullable(option, False), new, path)
        elif (shape := shape_of(old)) is None:
            yield from self._leaf(old, new, path)
        elif isinstance(new, s.Union):
            yield from self._into_union(old, new, path)
        else:
            yield from self._shapes(old, new, shape, path)

    def _leaf(self, old: s.Type, new: s.Type, path: str) -> Iterator[Finding]:
        if same(old, new):
            return
        chosen = [value for kind in (old, new) if isinstance(kind, s.Choice) for value in kind.values]
        lost = [
            value
            for value in [*chosen, *PROBES]
            if (value is not None or isinstance(old, s.Tensor))
            and self.old.admits(old, value)
            and not self.new.admits(new, value)
        ]
        if lost or (self.answers and _other_dtype(old, new)):
            yield Finding(path, *self._words(old, new), tuple(lost[:3]), breaking=True)
        else:
            yield self._change(path, old, new)

    def _into_union(self, old: s.Type, new: s.Union, path: str) -> Iterator[Finding]:
        tried = []
        for option in options(new):
            inner = Narrowing(self.old, self.new, answers=self.answers)
            inner.seen = set(self.seen)
            found = [one for one in inner.differences(old, option, path) if one.witness or one.breaking]
            if not found:
                yield self._change(path, old, new)
                return
            tried += found
        witnesses = [value for one in tried for value in one.witness] + list(self.old.examples(old))
        lost = [value for value in witnesses if not self.new.admits(new, value)]
        if lost:
            yield Finding(path, *self._words(old, new), tuple(lost[:3]), breaking=True)

    def _shapes(self, old: s.Type, new: s.Type, before: Shape, path: str) -> Iterator[Finding]:
        after = shape_of(new)
        found = list(self._inside(before, after, path))
        unlike = type(old) is not type(new) or type(before) is not type(after)
        if unlike and not any(one.witness or one.breaking for one in found):
            # What one spelling cannot say (a ragged array, another orientation of a table) only examples show.
            lost = [value for value in self._spellings(old) if not self.new.admits(new, value)]
            if lost:
                yield Finding(path, *self._words(old, new), tuple(lost[:3]), breaking=True)
                return
            if isinstance(new, s.Tensor) and len(new.shape) > 1 and not self.answers:
                # Rows of different lengths are seen by the codec of the array alone, which is asked in the end.
                yield Finding(path, *self._words(old, new), tuple(self.old.examples(old)))
                return
        yield from found
        if not found and old != new and _words(old) != _words(new):
            yield self._change(path, old, new)

    def _spellings(self, kind: s.Type) -> Iterator[Any]:
        for value in self.old.examples(kind):
            yield value
            if isinstance(kind, s.Table) and not self.answers and value:
                yield {name: [line[name] for line in value] for name in value[0]}

    def _inside(self, old: Shape, new: Shape | None, path: str) -> Iterator[Finding]:
        match old, new:
            case Object(), Object():
                yield from self._objects(old, new, path)
            case Object(), Named():
                least = self._least(old, Object({}))
                for name, (kind, _) in old.fields.items():
                    yield from self._field(old, name, kind, new.value, f"{path}.{name}", least)
            case Named(), Named():
                for found in self.differences(old.value, new.value, f"{path}.*"):
                    yield found.within(lambda value: {"key": value})
            case ((Array() | Fixed()), (Array() | Fixed())):
                yield from self._arrays(old, new, path)

    def _arrays(self, old: Array | Fixed, new: Array | Fixed, path: str) -> Iterator[Finding]:
        length = len(old.items) if isinstance(old, Fixed) else old.size
        wanted = len(new.items) if isinstance(new, Fixed) else new.size
        if wanted is not None and wanted != length:
            lengths = [length] if length is not None else [wanted + 1, 0, 1]
            shown = [self._filled(old, size) for size in lengths if size != wanted]
            sizes = ["of any length" if length is None else f"of {length}", f"of {wanted}"]
            before, after = reversed(sizes) if self.answers else sizes
            yield Finding(path, f"an array {before}", f"an array {after}", tuple(shown), breaking=True)
            return
        if isinstance(new, Array) and new.distinct and not (isinstance(old, Array) and old.distinct):
            twice = self._filled(old, 2 if length is None else length)
            words = self._words(s.List(s.Any()), s.Set(s.Any()))
            yield Finding(path, *words, (twice,) if len(twice) > 1 else ())
        if isinstance(old, Array) and isinstance(new, Array):
            yield from self._items(old, old.item, new.item, None, f"{path}[*]")
            return
        for at in range(length or 0):
            mine = old.items[at] if isinstance(old, Fixed) else old.item
            theirs = new.items[at] if isinstance(new, Fixed) else new.item
            yield from self._items(old, mine, theirs, at, f"{path}[{at}]")

    def _items(self, whole: Array | Fixed, old: s.Type, new: s.Type, at: int | None, path: str) -> Iterator[Finding]:
        length = len(whole.items) if isinstance(whole, Fixed) else 1 if whole.size is None else whole.size
        if not length:
            return
        place = at or 0
        filled = self._filled(whole, length)
        for found in self.differences(old, new, path):
            yield found.within(lambda value: [*filled[:place], value, *filled[place + 1 :]])

    def _filled(self, shape: Array | Fixed, length: int) -> list[Any]:
        if isinstance(shape, Fixed):
            return [self.old.example(item) for item in shape.items]
        return [next(self.old.examples(shape.item), None)] * length

    def _objects(self, old: Object, new: Object, path: str) -> Iterator[Finding]:
        least = self._least(old, new)
        for name, (kind, required) in old.fields.items():
            place = f"{path}.{name}"
            if name not in new.fields:
                words = (_NOWHERE, spelling.kind(kind)) if self.answers else (spelling.kind(kind), "gone")
                yield Finding(place, *words, ({**least, name: self.old.example(kind)},), breaking=self.answers)
                continue
            theirs, needed = new.fields[name]
            if needed != required:
                words = ("optional", "required") if needed != self.answers else ("required", "optional")
                without = {key: value for key, value in least.items() if key != name}
                yield Finding(place, *words, (without,) if needed else ())
            yield from self._field(old, name, kind, theirs, place, least)
        for name, (kind, needed) in new.fields.items():
            if name not in old.fields:
                lacking = (least,) if needed else ()
                words = (_NOWHERE, f"{spelling.kind(kind)}, {'required' if needed else 'optional'}")
                if self.answers:
                    words = (spelling.kind(kind), "gone")
                yield Finding(f"{path}.{name}", *words, lacking, breaking=needed)

    def _field(
        self, old: Object, name: str, kind: s.Type, theirs: s.Type, place: str, least: Mapping[str, Any]
    ) -> Iterator[Finding]:
        for found in self.differences(kind, theirs, place):
            yield found.within(
                lambda value: {
                    key: value if key == name else least[key] for key in old.fields if key == name or key in least
                }
            )

    def _least(self, old: Object, new: Object) -> dict[str, Any]:
        """Give an object that the old side admits, with as little in it as the new side allows to object to."""
        found = {}
        for name, (kind, required) in old.fields.items():
            theirs = new.fields.get(name)
            if required or (theirs is not None and theirs[1]):
                values = self.old.examples(kind)
                first = next(values, None)
                liked = (value for value in chain([first], values) if theirs and self.new.admits(theirs[0], value))
                found[name] = first if theirs is None else next(liked, first)
        return found

    def _change(self, path: str, old: s.Type, new: s.Type) -> Finding:
        return Finding(path, *self._words(old, new))

    def _words(self, old: s.Type, new: s.Type) -> tuple[str, str]:
        before, after = (new, old) if self.answers else (old, new)
        was, now = _words(before), _words(after)
        return was, now if was != now else f"{now}, made otherwise"


def _other_dtype(old: s.Type, new: s.Type) -> bool:
    typed = s.Scalar | s.Tensor
    return isinstance(old, typed) and isinstance(new, typed) and old.dtype != new.dtype


def _words(kind: s.Type) -> str:
    if isinstance(kind, s.Tensor) and not kind.shape:
        kind = s.Scalar(kind.dtype, non_finite=kind.non_finite)
    if isinstance(kind, s.Scalar):
        extra = [word for word in (kind.unit, "NaN and infinities" if kind.non_finite else None) if word]
        return spelling.kind(kind) + (f" ({', '.join(extra)})" if extra else "")
    return spelling.kind(kind)
