"""What bodies are written in: JSON, CSV and Arrow IPC streams, by Content-Type and Accept; gzip and zstd around them.

Headers are those of ASGI: pairs of bytes, names in lower case. What a header means is remembered by its text, so that a
request pays for a look into a table.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import Enum
from functools import cache

from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import Arguments
from model_envelope.runtime.codec.answers import encode_answer
from model_envelope.runtime.codec.csv import decode_csv, encode_csv, reads_csv, writes_csv
from model_envelope.runtime.openapi import ARROW_TYPE, CSV_TYPE, JSON_TYPE
from model_envelope.runtime.predicting import BoundMethod
from model_envelope.serving.accepting import Headers, joined, parameter_of, weighted
from model_envelope.serving.compression import WORTH, compress, request_encoding, wanted_encoding
from model_envelope.serving.problems import HttpProblem


class Format(Enum):
    """A format of bodies, by its media type."""

    JSON = JSON_TYPE
    CSV = CSV_TYPE
    ARROW = ARROW_TYPE


_AS_JSON = frozenset(
    {
        "",
        "*/*",
        "application/json",
        "text/json",
        # What clients send when they were told nothing: `curl -d`, `fetch` with a string, and plain bytes.
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
        "binary/octet-stream",
    }
)
"""Media types that are read as JSON, beside all that end in ``+json``."""

_CONTENT_TYPES = {
    Format.JSON: b"application/json",
    Format.CSV: b"text/csv; charset=utf-8",
    Format.ARROW: Format.ARROW.value.encode(),
}

REMEMBERED = 256
"""How many ways to ask are remembered for each method."""

_NEED_ARROW = "this service has no pyarrow; build the image (or serve) with `--arrow`"


@dataclass(frozen=True)
class Speech:
    """How one request is written, and how it wants its answer. Encodings are None where bodies are plain."""

    reads: Format
    writes: Format
    encoding: str | None
    packs: str | None

    @property
    def content_type(self) -> bytes:
        """The Content-Type of the answer."""
        return _CONTENT_TYPES[self.writes]


class Speaker:
    """Finds out how requests to one method are written. What headers mean is remembered by their text."""

    def __init__(self, method: s.Method) -> None:
        self.reads = formats_in(method)
        self.writes = formats_out(method)
        self._known: dict[tuple[bytes, ...], Speech] = {}

    def speech(self, headers: Headers) -> Speech:
        """Read the headers.

        Raises :class:`HttpProblem`: 415 for a body that cannot be read here, 406 where no answer would do.
        """
        said = _said(headers)
        found = self._known.get(said)
        if found is None:
            content_type, accept, content_encoding, accept_encoding = said
            found = Speech(
                request_format(content_type, self.reads),
                answer_format(accept, self.writes),
                request_encoding(content_encoding),
                wanted_encoding(accept_encoding),
            )
            if len(self._known) < REMEMBERED:
                self._known[said] = found
        return found


def _said(headers: Headers) -> tuple[bytes, ...]:
    content_type = accept = content_encoding = accept_encoding = b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = joined(accept, value)
        elif name == b"accept-encoding":
            accept_encoding = joined(accept_encoding, value)
        elif name == b"content-encoding":
            content_encoding = joined(content_encoding, value)
    return content_type, accept, content_encoding, accept_encoding


def packed(body: bytes, speech: Speech) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Give an answer as it goes out, with the headers that say what it is. Short ones stay plain."""
    headers = [(b"content-type", speech.content_type), (b"vary", b"Accept, Accept-Encoding")]
    if speech.packs is not None and len(body) >= WORTH:
        body = compress(body, speech.packs)
        headers.append((b"content-encoding", speech.packs.encode()))
    headers.append((b"content-length", b"%d" % len(body)))
    return body, headers


def formats_in(method: s.Method) -> tuple[Format, ...]:
    """List the formats that requests of a method can come in, JSON first."""
    return (Format.JSON, *((Format.CSV,) if reads_csv(method) else ()), *((Format.ARROW,) if has_arrow() else ()))


def formats_out(method: s.Method) -> tuple[Format, ...]:
    """List the formats that answers of a method can go in, JSON first."""
    return (Format.JSON, *((Format.CSV,) if writes_csv(method) else ()), *((Format.ARROW,) if has_arrow() else ()))


@cache
def has_arrow() -> bool:
    """Tell whether there is a pyarrow, without importing it."""
    return importlib.util.find_spec("pyarrow") is not None


def request_format(content_type: bytes, spoken: tuple[Format, ...]) -> Format:
    """Find the format of a request by its Content-Type; without one it is JSON.

    Raises :class:`HttpProblem` 415 for one that is not spoken here.
    """
    media, _, parameters = content_type.decode("latin-1").partition(";")
    media = media.strip().lower()
    found = Format.JSON if media in _AS_JSON or media.endswith("+json") else _by_type(media)
    if found is None or found not in spoken:
        reads = ", ".join(item.value for item in spoken)
        why = _NEED_ARROW if found is Format.ARROW else f"for this method the service reads {reads}"
        raise HttpProblem(
            415, "request.media-type", f"The body is `{media:.80}`; {why}.", {"Accept": reads, "Accept-Post": reads}
        )
    charset = parameter_of(parameters, "charset") or "utf-8"
    if charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise HttpProblem(415, "request.charset", f"The body is in `{charset:.40}`; text is read in UTF-8.")
    return found


def answer_format(accept: bytes, spoken: tuple[Format, ...]) -> Format:
    """Find the format of an answer by Accept: the one that is wanted most; JSON where all are wanted alike.

    Raises :class:`HttpProblem` 406 where none of them is wanted.
    """
    wanted = [(media, quality) for media, quality in weighted(accept) if "/" in media]
    if not wanted:
        return Format.JSON
    best, most = None, 0.0
    for item in spoken:
        quality = _quality(item.value, wanted)
        if quality > most:
            best, most = item, quality
    if best is None:
        writes = ", ".join(item.value for item in spoken)
        arrow = Format.ARROW not in spoken and _quality(Format.ARROW.value, wanted) > 0
        why = _NEED_ARROW if arrow else f"this method answers in {writes}"
        raise HttpProblem(406, "request.not-acceptable", f"No format of the Accept header can be given: {why}.")
    return best


def read(bound: BoundMethod, form: Format, raw: bytes) -> Arguments:
    """Make arguments of a body. Raises :class:`InvalidPayload`."""
    if form is Format.JSON:
        return bound.read(raw)
    if form is Format.CSV:
        return decode_csv(bound.codec, raw)
    from model_envelope.runtime.codec.arrow.streams import decode_arrow

    return decode_arrow(bound.codec, raw)


def write(bound: BoundMethod, form: Format, answer: object) -> bytes:
    """Make the body of an answer. Raises :class:`InvalidAnswer`."""
    if form is Format.JSON:
        return encode_answer(bound.codec, answer)
    if form is Format.CSV:
        return encode_csv(bound.codec, answer)
    from model_envelope.runtime.codec.arrow.streams import encode_arrow

    return encode_arrow(bound.codec, answer)


def _by_type(media: str) -> Format | None:
    return next((item for item in Format if item.value == media), None)


def _quality(media: str, wanted: list[tuple[str, float]]) -> float:
    """Give how much a media type is wanted: what names it most closely counts."""
    family = media.partition("/")[0] + "/*"
    for name in (media, family, "*/*"):
        found = [quality for item, quality in wanted if item == name]
        if found:
            return max(found)
    return 0.0
