"""Sparse matrices and arrays of SciPy: ``{"shape", "row", "col", "data"}``, or nested JSON arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec.arrays import shapes
from model_envelope.runtime.codec.base import Definitions, codec_for, describe
from model_envelope.runtime.errors import InvalidSignature, Problems

LARGEST_SIDE = 10_000_000
"""What a free dimension may claim at most beyond what the payload holds: some layouts have memory for each row."""

_KEYS = ("shape", "row", "col", "data")
_LAYOUTS = frozenset({"bsr", "coo", "csc", "csr", "dia", "dok", "lil"})


class SparseCodec:
    """A sparse matrix. Its layout is kept; entries that stand twice are added up where the layout cannot hold them."""

    def __init__(self, kind: s.Tensor, definitions: Definitions) -> None:
        if kind.flavor is not s.Flavor.SCIPY or kind.layout not in _LAYOUTS or len(kind.shape) != 2:
            raise InvalidSignature(
                f"there is no sparse matrix of layout {kind.layout!r} in {kind.flavor.value}", code="signature.storage"
            )
        self.kind = kind
        self.cls = f"{kind.layout}_{kind.storage or 'matrix'}"
        plain = replace(kind, flavor=s.Flavor.NUMPY, layout=None, storage=None, nullable=False)
        self.dense = codec_for(plain, definitions)
        self.values = codec_for(replace(plain, shape=(None,), batch=0), definitions)
        self.index = codec_for(s.Tensor("int64", (None,)), definitions)

    @property
    def expected(self) -> str:
        """Say what is expected."""
        return f"a sparse array of {self.kind.dtype} of shape {shapes.text(self.kind.shape)}: shape, row, col and data"

    def decode(self, value: Any, path: str, problems: Problems) -> Any:
        """Make a sparse matrix of its entries, or of nested arrays."""
        import scipy.sparse as sp

        if type(value) is not dict:
            dense = self.dense.decode(value, path, problems)
            return None if dense is None else getattr(sp, self.cls)(dense)
        before = problems.count
        for name in sorted(value.keys() ^ set(_KEYS)):
            found, code = ("nothing", "missing") if name in _KEYS else ("an unknown field", "unknown")
            problems.add(f"{path}.{name}", found, f"the fields {', '.join(_KEYS)}", f"payload.{code}")
        if problems.count > before:
            return None
        entries = len(value["data"]) if type(value["data"]) is list else 0
        shape = self._shape(value["shape"], f"{path}.shape", entries, problems)
        row = self.index.decode(value["row"], f"{path}.row", problems)
        col = self.index.decode(value["col"], f"{path}.col", problems)
        data = self.values.decode(value["data"], f"{path}.data", problems)
        if shape is None or problems.count > before:
            return None
        if not len(row) == len(col) == len(data):
            found = f"{len(row)} in row, {len(col)} in col, {len(data)} in data"
            problems.add(path, found, "row, col and data of one length", "payload.ragged")
            return None
        for name, places, size in (("row", row, shape[0]), ("col", col, shape[1])):
            for at in ((places < 0) | (places >= size)).nonzero()[0].tolist():
                expected = f"a place below {size}"
                problems.add(f"{path}.{name}[{at}]", describe(int(places[at])), expected, "payload.range")
        if problems.count > before:
            return None
        family = "coo_array" if self.cls.endswith("array") else "coo_matrix"
        matrix = getattr(sp, family)((data, (row, col)), shape=shape)
        return matrix if self.kind.layout == "coo" else matrix.asformat(self.kind.layout)

    def _shape(self, value: Any, path: str, entries: int, problems: Problems) -> tuple[int, int] | None:
        sides = type(value) is list and len(value) == 2 and all(type(side) is int and side >= 0 for side in value)
        if not sides or not shapes.fits(tuple(value), self.kind.shape):
            problems.add(path, _told(value), shapes.text(self.kind.shape), "payload.shape")
            return None
        for at, (side, wanted) in enumerate(zip(value, self.kind.shape, strict=True)):
            if wanted is None and side > max(LARGEST_SIDE, entries):
                problems.add(f"{path}[{at}]", describe(side), f"at most {LARGEST_SIDE}", "payload.shape")
                return None
        return value[0], value[1]

    def encode(self, value: Any, path: str, problems: Problems) -> Any:
        """Write the shape and the entries."""
        if type(value).__name__ != self.cls or not shapes.fits(value.shape, self.kind.shape):
            problems.add(path, describe(value), f"{self.cls}: {self.expected}", "answer.type")
            return None
        if value.dtype.name != self.kind.dtype:
            problems.add(path, f"{self.cls} of {value.dtype}", self.expected, "answer.type")
            return None
        entries = value.tocoo()
        return {
            "shape": list(value.shape),
            "row": entries.row.tolist(),
            "col": entries.col.tolist(),
            "data": self.values.encode(entries.data, f"{path}.data", problems),
        }


def _told(value: Any) -> str:
    small = type(value) is list and len(value) < 4 and all(type(side) is int and abs(side) < 2**63 for side in value)
    return f"shape {value}" if small else describe(value)
