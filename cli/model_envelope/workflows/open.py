"""``load_envelope``: a sealed envelope in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from model_envelope.foundation.errors import Refused
from model_envelope.runtime.predicting import Predictor
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope, verify_manifest
from model_envelope.runtime.signature import Signature
from model_envelope.store import trust as store_trust
from model_envelope.store.ledger import MetricEntry, append_metrics, append_tags, checked_tags, read_ledger


class Envelope:
    """A sealed envelope: its facts, its model's methods, and a ledger of tags and metrics that may grow.

    The methods of the signature are methods here: ``envelope.predict(frame)`` gives what the model itself gives. The
    model is loaded when it is first asked.
    """

    _files: EnvelopeFiles
    _trust: bool

    def __init__(self, files: EnvelopeFiles, *, trust: bool = False) -> None:
        self.__dict__["_files"] = files
        self.__dict__["_trust"] = trust

    @property
    def path(self) -> Path:
        """The folder."""
        return self._files.path

    @property
    def name(self) -> str:
        """The name that the model was saved under."""
        return self._files.description.name

    @property
    def description(self) -> str:
        """What the model is for, in the words of who saved it."""
        return self._files.description.description

    @property
    def digest(self) -> str:
        """The identity: the sha256 of the manifest."""
        return self._files.digest

    @property
    def signature(self) -> Signature:
        """What the methods take and give."""
        return self._files.signature

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """What the model was trained with, as it was saved."""
        return MappingProxyType(dict(self._files.description.hyperparameters))

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags as they stand now."""
        return MappingProxyType(dict(read_ledger(self.path).tags))

    @property
    def metrics(self) -> Mapping[str, float]:
        """The latest value of each metric."""
        return MappingProxyType(dict(read_ledger(self.path).metrics))

    @property
    def metric_history(self) -> tuple[MetricEntry, ...]:
        """Every value that a metric ever had, the earliest first."""
        return read_ledger(self.path).history

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags; a later value takes the place of an earlier one, and an empty one takes the tag away."""
        append_tags(self.path, checked_tags(tags))

    def add_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add metrics, or correct them: the latest is shown, the history is kept."""
        append_metrics(self.path, metrics)

    def ask(self, method: str, body: Any) -> Any:
        """Answer a request body as the service would: JSON values in, JSON values out."""
        return self._predictor.methods[method].answer(body)

    @cached_property
    def _predictor(self) -> Predictor:
        store_trust.require(self._files, trusted=self._trust)
        different = verify_manifest(self._files)
        if different:
            names = (*different.changed, *different.missing, *different.extra)
            raise Refused(
                f"{self.path} is not what was sealed ({', '.join(names[:5])}), so its model is not loaded",
                code="envelope.changed",
                hint="`envelope verify` lists what differs",
            )
        return Predictor.open(self.path)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("_") and name in self.signature.methods:
            return self._predictor.methods[name].function
        methods = ", ".join(f"`{method}`" for method in self.signature.methods)
        raise AttributeError(f"an envelope has no `{name}`; the methods of this one are {methods}")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise _sealed(self.path, name)

    def __delattr__(self, name: str) -> NoReturn:
        raise _sealed(self.path, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.signature.methods})

    def __repr__(self) -> str:
        return f"<Envelope {self.path.name}: {', '.join(self.signature.methods)}>"

    def __fspath__(self) -> str:
        return str(self.path)


def load_envelope(path: str | Path, *, trust: bool = False) -> Envelope:
    """Open a sealed envelope.

    Asking its model runs the code in it. So an envelope that was not sealed by this user on this machine answers only
    with ``trust=True``; its facts, tags and metrics can always be read.

    Raises :class:`InvalidEnvelope` where the folder is none.
    """
    return Envelope(read_envelope(Path(path)), trust=trust)


def _sealed(path: Path, name: str) -> Refused:
    return Refused(
        f"{path.name} is sealed, so its `{name}` cannot be changed",
        code="envelope.sealed",
        hint="`add_tags` and `add_metrics` add to its ledger; anything else is another envelope: save the model again",
    )
