from dataclasses import dataclass
from enum import Enum

from model_envelope.runtime.codec.answers import encode_answer


class Format(Enum):
    JSON = "json"


@dataclass(frozen=True)
class Speech:
    reads: Format
    writes: Format
    encoding: str
    content_type: bytes


_S = Speech(Format.JSON, Format.JSON, "", b"application/json")


def speech(headers):
    return _S


def read(method, format, raw):
    return method.read(raw)


def write(method, format, answer):
    return encode_answer(method.codec, answer)
