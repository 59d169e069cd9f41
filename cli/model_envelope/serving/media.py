from dataclasses import dataclass
from enum import Enum
from model_envelope.runtime.codec import dump_json
class Format(Enum):
    JSON="json"
@dataclass(frozen=True)
class Speech:
    reads: Format
    writes: Format
    encoding: str
    content_type: bytes
_S=Speech(Format.JSON, Format.JSON, "", b"application/json")
def speech(headers): return _S
def read(method, format, raw): return method.read(raw)
def write(method, format, answer): return dump_json(method.encode(answer))
