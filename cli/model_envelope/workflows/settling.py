"""Settles by trying what evidence alone cannot: takes what is in doubt away, and looks whether the model still answers.

Libraries import much because it happens to be installed; other things they cannot do without, and say so nowhere. All
that is in doubt is hidden at once. Most often the model answers as before, and one trial has settled it all. Where it
does not, what was missed last comes back, and it is tried again; so each trial finds one thing that is needed. What is
needed more often than not is guessed at the same time, by a second trial beside the first. Where something else that is
installed took the place of what was hidden, that is hidden as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from model_envelope.dependencies.graph import closure, extras_with
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.needs import Doubt, Needs, Tried
from model_envelope.dependencies.seen import Seen, absent_without, in_use, owners_of_file
from model_envelope.foundation.progress import Note, Report
from model_envelope.inference.hiding import Hidden
from model_envelope.inference.trying import Trial

_SELF = "model-envelope"
TRIALS = 24
"""How many trials are made at most; whatever is in doubt then is kept."""


@dataclass
class Settling:
    """The trials of one model. ``attempt`` makes some side by side, with the hidden distributions of each."""

    installed: Installed
    attempt: Callable[[Sequence[Hidden]], Sequence[Trial]]
    trials: int = 0
    likely: set[str] = field(default_factory=set)
    fallbacks: set[str] = field(default_factory=set)
    known: dict[frozenset[str], Trial] = field(default_factory=dict)

    def settle(self, needs: Needs, report: Report) -> Tried | None:
        """Try what is in doubt; None where trying tells nothing, which is reported."""
        doubts = {doubt.name: doubt for doubt in needs.doubts}
        needed: dict[str, str] = {}
        hidden = set(doubts)
        self._guess(doubts)
        while hidden:
            failure = self._failure(hidden)
            if failure is None:
                fallbacks = self._fallbacks(hidden, needs, needed)
                if not fallbacks or self.trials >= TRIALS:
                    break
                doubts |= fallbacks
                hidden |= fallbacks.keys()
                continue
            found = self._culprits(hidden)
            if found is None:
                if self._failure(()) is not None:
                    report(Note(f"what is in use but not required was not tried: a trial fails by itself ({failure})"))
                    return None
                found = hidden  # only together, or too many trials
            needed |= {name: self._needed(doubts[name], failure, needs) for name in found}
            hidden -= found | closure(found, self.installed).keys()
        for name in list(needed) if len(needed) > 1 else ():
            # What was blamed first may have been innocent.
            rest = doubts.keys() - closure(needed.keys() - {name}, self.installed).keys()
            if self.trials < TRIALS and self._failure(rest) is None and not self._fallbacks(rest, needs, needed):
                del needed[name]
        brought = closure(needed, self.installed).keys()
        return Tried(needed, {name: _spare(doubt) for name, doubt in doubts.items() if name not in brought})

    def _fallbacks(self, hidden: Collection[str], needs: Needs, needed: Collection[str]) -> dict[str, Doubt]:
        """Give what a trial used that was not in use with all that is installed: in the place of what was hidden."""
        roots = {item.name for item in needs.kept} | set(needed)
        explained = {*closure(roots, self.installed), *needs.left_out, *hidden, _SELF}
        modules = self._try(hidden).modules
        seen = Seen({self.installed.real_name(name, file): file for name, file in modules.items()})
        used = in_use(seen, self.installed, explained)
        self.fallbacks |= used.keys()
        return {
            name: Doubt(name, use.source, kept=False, fallback=True)
            for name, use in used.items()
            if not self.installed.distributions[name].editable
        }

    def _guess(self, doubts: Mapping[str, Doubt]) -> None:
        """Try without anything in doubt and, side by side, without what is likely to be spare."""
        self.likely = {name for name, doubt in doubts.items() if doubt.likely}
        self.fallbacks = {name for name, doubt in doubts.items() if doubt.fallback}
        spare = doubts.keys() - closure(self.likely, self.installed).keys()
        if self.likely and spare:
            self._try(doubts, spare)

    def _try(self, *several: Collection[str]) -> Trial:
        """Make trials that were not made yet; gives the first."""
        new = [names for hidden in several if (names := frozenset(hidden)) not in self.known]
        self.trials += len(new)
        hidings = [Hidden(**asdict(absent_without(names, self.installed))) for names in new]
        self.known |= dict(zip(new, self.attempt(hidings) if new else (), strict=True))
        return self.known[frozenset(several[0])]

    def _failure(self, hidden: Collection[str]) -> str | None:
        trial = self._try(hidden)
        if trial.failure is not None:
            return trial.failure
        mapped = self._owners(trial.libraries) & set(hidden)
        return f"shared libraries of {', '.join(sorted(mapped))} are loaded" if mapped else None

    def _culprits(self, hidden: set[str]) -> set[str] | None:
        """Find what is needed of what was hidden in vain; None where nothing can be blamed."""
        trial = self._try(hidden)
        if mapped := self._owners(trial.libraries) & hidden:
            return mapped
        # What the failure names comes first: a library may look for other things, before and after. What only took the
        # place of something comes last.
        named = set(re.findall(r"\w+", trial.failure or ""))
        blamed = [(self._missing(missed) & hidden, missed.partition(".")[0] in named) for missed in trial.missed[::-1]]
        if blamed := [(names, said) for names, said in blamed if names]:
            return min(blamed, key=lambda item: (item[0] <= self.fallbacks, not item[1]))[0]
        likely = hidden & self.likely
        if likely and self._failure(hidden - closure(likely, self.installed).keys()) is None:
            return self._halved(sorted(likely)) or likely
        return self._halved(sorted(hidden))

    def _missing(self, missed: str) -> set[str]:
        return self._owners([missed]) if missed.startswith("/") else set(self.installed.owners(missed))

    def _halved(self, names: list[str]) -> set[str] | None:
        """Find one name by halves, where nothing that is hidden was asked for by name."""
        while len(names) > 1 and self.trials < TRIALS:
            half = len(names) // 2
            for part in (names[:half], names[half:]):
                if self._failure(part) is not None:
                    names = part
                    break
            else:
                return None
        return set(names) if len(names) == 1 and self._failure(names) is not None else None

    def _needed(self, doubt: Doubt, failure: str, needs: Needs) -> str:
        among = closure([item.name for item in needs.kept], self.installed).keys()
        extras = extras_with(doubt.name, among, self.installed)
        listed = f" ({', '.join(extras[:3])}{', ...' if len(extras) > 3 else ''})" if extras else ""
        return f"run: {doubt.source}{listed}; without it: {failure[:200]}"

    def _owners(self, paths: Iterable[str]) -> set[str]:
        return {owner for path in paths for owner in owners_of_file(Path(path), self.installed)}


def _spare(doubt: Doubt) -> str:
    if doubt.kept:
        return f"it is asked for, and may be missing ({doubt.source}); without it the model answers the same"
    if doubt.fallback:
        return "without it the model answers the same"
    return f"in use because it is installed ({doubt.source}); without it the model answers the same"
