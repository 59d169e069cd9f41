"""Files that are often taken for a pickle, recognised by how they begin."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE_IT = "load it with the library that wrote it, and write the loaded model with `pickle.dump`"


@dataclass(frozen=True)
class Format:
    """What a file seems to be, and what its owner can do."""

    name: str
    advice: str = _PICKLE_IT


_JOBLIB_ADVICE = "write it without joblib: `pickle.dump(joblib.load(path), file)`"
_STARTS: tuple[tuple[bytes, Format], ...] = (
    (_LEGACY_TORCH, Format("a file of `torch.save`", "`pickle.dump` the model itself, moved to the CPU")),
    (b"\x89HDF\r\n\x1a\n", Format("an HDF5 file, as Keras writes them")),
    (b"\x93NUMPY", Format("an array of `numpy.save`", "a model is needed, not its data")),
    (b"PAR1", Format("a Parquet file", "a model is needed; samples are given with `--input`")),
    (b"ARROW1", Format("an Arrow file", "a model is needed; samples are given with `--input`")),
    (b"CBM1", Format("a CatBoost model")),
    (b"GGUF", Format("a GGUF model")),
    (b"tree\nversion=", Format("a LightGBM model in text form")),
    (b"{L\x00", Format("an XGBoost model in UBJSON")),
    (b"version https://git-lfs", Format("a Git LFS pointer, not the file itself", "`git lfs pull` fetches the file")),
    (b"\x1f\x8b", Format("compressed with gzip", f"decompress it; if joblib wrote it, {_JOBLIB_ADVICE}")),
    (b"BZh", Format("compressed with bzip2", f"decompress it; if joblib wrote it, {_JOBLIB_ADVICE}")),
    (b"\xfd7zXZ\x00", Format("compressed with xz", f"decompress it; if joblib wrote it, {_JOBLIB_ADVICE}")),
    (b"\x04\x22\x4d\x18", Format("compressed with lz4", f"decompress it; if joblib wrote it, {_JOBLIB_ADVICE}")),
    (b"\x28\xb5\x2f\xfd", Format("compressed with zstandard", "decompress it")),
    (b"\x7fELF", Format("a program or a shared library")),
    (b"%PDF", Format("a PDF")),
)
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
JOBLIB = Format("a file of `joblib.dump`, whose arrays lie between the opcodes", _JOBLIB_ADVICE)


def recognise_format(path: Path, start: bytes) -> Format | None:
    """Say what a file seems to be, from its first bytes (and, of a zip archive, the names in it)."""
    for magic, found in _STARTS:
        if start.startswith(magic):
            return found
    if start.startswith(_ZLIB):
        return Format("compressed with zlib, as `joblib.dump(..., compress=...)` writes it", _JOBLIB_ADVICE)
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    text = start.lstrip()
    if text.startswith((b"{", b"[")):
        return Format("JSON")
    if text.startswith((b"<?xml", b"<PMML", b"<!DOCTYPE", b"<html")):
        return Format("XML or HTML")
    return None


def _archive(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return Format("a zip archive that is not whole")
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return Format("a file of `torch.save`", "`pickle.dump` the model itself, moved to the CPU")
    if "schema.json" in names:
        return Format("a file of `skops.io.dump`", "load it with skops, and write the loaded model with `pickle.dump`")
    if {"config.json", "metadata.json"} <= set(names):
        return Format("a Keras model")
    if names and all(name.endswith(".npy") for name in names):
        return Format("arrays of `numpy.savez`", "a model is needed, not its data")
    return Format("a zip archive")
