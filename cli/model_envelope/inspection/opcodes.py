"""A pickle's opcodes, followed with the stack and the memo of the machine that would run them.

What a pickle imports is decided by what lies on the stack when STACK_GLOBAL comes, and strings come back from the memo:
taking the last two strings before it invents modules. So the stack is simulated, with everything opaque but strings,
globals and tuples that hold them. The machine is the one of CPython's ``Lib/pickle.py``; the opcodes are described in
``Lib/pickletools.py``.
"""

from __future__ import annotations

import codecs
import copyreg
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model_envelope.inspection.reading import Broken, Buffer, Global, Reading

HIGHEST_PROTOCOL = 5
_LONGEST_NAME = 4096

IMPORTERS = frozenset(
    {
        ("cloudpickle.cloudpickle", "subimport"),
        ("cloudpickle.cloudpickle", "dynamic_subimport"),
        ("dill._dill", "_import_module"),
        ("numpy.core", "_ufunc_reconstruct"),
        ("numpy._core", "_ufunc_reconstruct"),
        ("importlib", "import_module"),
        ("builtins", "__import__"),
    }
)
"""Functions that import the module which their first argument names."""

_MAKERS = frozenset({("copyreg", "_reconstructor"), ("copyreg", "__newobj__"), ("copyreg", "__newobj_ex__")})


@dataclass(frozen=True)
class Made:
    """An object on the simulated stack that is an instance of (or made by) a global."""

    by: Global


# How many bytes follow an opcode that pushes something without a name. -1: another kind of opcode.
_PLAIN = [-1] * 256
for _code, _width in zip(b"JKMGN\x88\x89]}\x8f", (4, 1, 2, 8, 0, 0, 0, 0, 0, 0), strict=True):
    _PLAIN[_code] = _width
# Opcodes that are followed by a count of that many bytes, and then by as many bytes.
_OPAQUE_COUNTED = {0x8A: 1, 0x8B: 4, 0x42: 4, 0x43: 1, 0x8E: 8, 0x96: 8}
_TEXT_COUNTED = {0x8C: 1, 0x58: 4, 0x8D: 8, 0x55: 1, 0x54: 4}
_PROTOCOL_1 = frozenset(b"JKMG]})UTXqrhjeuo1")


def read_opcodes(data: Buffer, reading: Reading) -> None:
    """Follow a pickle from its first byte to STOP, noting what it names.

    Raises :class:`Broken` where the bytes are no whole pickle; ``reading`` then holds what was seen until there.
    """
    machine = _Machine(data, reading)
    try:
        machine.run()
    except IndexError:
        # Either the bytes end in the middle of an opcode, or an opcode takes from an empty stack.
        if machine.at >= len(data):
            raise Broken("it ends in the middle", len(data), short=True) from None
        raise Broken("it takes something from an empty stack", machine.started) from None
    except KeyError:
        raise Broken("it takes something that it never kept", machine.started) from None
    except ValueError as error:
        raise Broken(f"it holds something malformed ({error})", machine.started) from None


class _Machine:
    def __init__(self, data: Buffer, reading: Reading) -> None:
        self.data = data
        self.reading = reading
        self.at = 0
        self.started = 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> None:
        """Run to STOP. The frequent opcodes are handled here, the others in a table of methods."""
        data, size, memo, reading = self.data, len(self.data), self.memo, self.reading
        binary = False
        while True:
            at = self.started = self.at
            code = data[at]
            at += 1
            self.at = at
            reading.opcodes += 1
            if (width := _PLAIN[code]) >= 0:
                self.stack.append(None)
                self.at = at + width
                if self.at > size:
                    raise Broken("it ends in the middle", size, short=True)
            elif code == 0x94:  # MEMOIZE
                memo[len(memo)] = self.stack[-1]
            elif code == 0x71:  # BINPUT
                memo[data[at]] = self.stack[-1]
                self.at = at + 1
            elif code == 0x68:  # BINGET
                self.stack.append(memo[data[at]])
                self.at = at + 1
            elif code == 0x6A:  # LONG_BINGET
                self.stack.append(memo[self.number(4)])
            elif code in _TEXT_COUNTED:
                self.stack.append(self.text(self.counted(_TEXT_COUNTED[code])))
            elif code in _OPAQUE_COUNTED:
                self.counted(_OPAQUE_COUNTED[code])
                self.stack.append(None)
            elif code == 0x2E:  # STOP
                self.stop(binary=binary)
                return
            else:
                method = _METHODS.get(code)
                if method is None:
                    raise Broken(f"the opcode {code:#04x} does not exist", self.started)
                method(self)
            if not binary and reading.protocol is None and code in _PROTOCOL_1:
                binary = True

    def stop(self, *, binary: bool) -> None:
        reading = self.reading
        top = self.stack.pop()
        if isinstance(top, Made):
            reading.root = top.by
        elif isinstance(top, Global):
            reading.root = top
        if reading.protocol is None:
            reading.protocol = 1 if binary else 0
        reading.end = self.at

    # Reading what follows an opcode.

    def number(self, width: int) -> int:
        """Read an unsigned number."""
        raw = self.data[self.at : self.at + width]
        self.at += width
        if len(raw) < width:
            raise Broken("it ends in the middle", len(self.data), short=True)
        return int.from_bytes(raw, "little")

    def counted(self, width: int) -> tuple[int, int]:
        """Read a count and step over as many bytes; gives where they start and end."""
        count = self.number(width)
        start = self.at
        self.at = start + count
        if self.at > len(self.data):
            raise Broken("it ends in the middle", len(self.data), short=True)
        return start, self.at

    def text(self, span: tuple[int, int]) -> str | None:
        """Give a string that may be a name; a longer one is data."""
        start, end = span
        if end - start > _LONGEST_NAME:
            return None
        raw: bytes = self.data[start:end]
        return raw.decode("utf-8", "surrogatepass")

    def line(self) -> bytes:
        """Read up to the end of the line."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            self.at = len(self.data)
            raise Broken("it ends in the middle", len(self.data), short=True)
        raw: bytes = self.data[self.at : end]
        self.at = end + 1
        return raw

    # Opcodes.

    def protocol(self) -> None:
        number = self.number(1)
        if number > HIGHEST_PROTOCOL:
            self.reading.protocol = number
            raise Broken(f"its protocol is {number}, and the newest known is {HIGHEST_PROTOCOL}", self.started)
        self.reading.protocol = max(number, self.reading.protocol or 0)

    def frame(self) -> None:
        if self.number(8) > len(self.data) - self.at:
            raise Broken("it ends in the middle", len(self.data), short=True)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    def pop_mark(self) -> None:
        self.to_mark()

    def plain_line(self) -> None:
        self.line()
        self.stack.append(None)

    def quoted(self) -> None:
        raw = self.line().strip()
        if len(raw) < 2 or raw[0] != raw[-1] or raw[0] not in b"\"'":
            raise Broken("a string is not quoted", self.started)
        self.stack.append(codecs.escape_decode(raw[1:-1])[0].decode("utf-8", "replace"))

    def unicode_line(self) -> None:
        self.stack.append(self.line().decode("raw-unicode-escape"))

    def make_tuple(self, items: list[Any]) -> None:
        self.stack.append(tuple(items) if any(item is not None for item in items) else None)

    def short_tuple(self, count: int) -> None:
        items = self.stack[-count:]
        if len(items) < count:
            raise IndexError
        del self.stack[-count:]
        self.make_tuple(items)

    def collapse(self) -> None:
        """Take all to the mark and push one thing: LIST, DICT, FROZENSET."""
        self.to_mark()
        self.stack.append(None)

    def discard_to_mark(self) -> None:
        """Take all to the mark and put it into what lies below: APPENDS, SETITEMS, ADDITEMS."""
        self.to_mark()
        self.stack[-1]

    def drop(self, count: int) -> None:
        """Put things into what lies below them: APPEND, SETITEM, BUILD."""
        for _ in range(count):
            self.stack.pop()
        self.stack[-1]

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if isinstance(name, str) and isinstance(module, str):
            self.stack.append(self.reading.note(module, name))
        else:
            self.reading.hidden += 1
            self.stack.append(None)

    def line_global(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        self.stack.append(self.reading.note(module, name))

    def extension(self, width: int) -> None:
        code = self.number(width)
        registry: dict[int, tuple[str, str]] = copyreg._inverted_registry  # type: ignore[attr-defined] # noqa: SLF001
        if code in registry:
            self.stack.append(self.reading.note(*registry[code]))
        else:
            self.reading.unknown_extensions.add(code)
            self.stack.append(None)

    def instance(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        self.to_mark()
        self.stack.append(Made(self.reading.note(module, name)))

    def object(self) -> None:
        items = self.to_mark()
        self.stack.append(_made(items[0]))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        made = function
        if isinstance(function, Global) and isinstance(arguments, tuple) and arguments:
            key = (function.module, function.name)
            if key in IMPORTERS and isinstance(arguments[0], str):
                self.reading.imports.add(arguments[0])
            if key in _MAKERS:
                made = arguments[0]
        self.stack.append(_made(made))

    def new_object(self, count: int) -> None:
        for _ in range(count - 1):
            self.stack.pop()
        self.stack.append(_made(self.stack.pop()))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def persistent(self, *, line: bool) -> None:
        if line:
            self.line()
        else:
            self.stack.pop()
        self.reading.persistent += 1
        self.stack.append(None)

    def next_buffer(self) -> None:
        self.reading.out_of_band += 1
        self.stack.append(None)


def _made(what: Any) -> Made | None:
    return Made(what) if isinstance(what, Global) else None


_METHODS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    ord("("): _Machine.mark,
    ord("0"): _Machine.pop,
    ord("1"): _Machine.pop_mark,
    ord("2"): lambda machine: machine.stack.append(machine.stack[-1]),
    ord("I"): _Machine.plain_line,
    ord("L"): _Machine.plain_line,
    ord("F"): _Machine.plain_line,
    ord("S"): _Machine.quoted,
    ord("V"): _Machine.unicode_line,
    ord(")"): lambda machine: machine.stack.append(None),
    ord("t"): lambda machine: machine.make_tuple(machine.to_mark()),
    0x85: lambda machine: machine.short_tuple(1),
    0x86: lambda machine: machine.short_tuple(2),
    0x87: lambda machine: machine.short_tuple(3),
    ord("l"): _Machine.collapse,
    ord("d"): _Machine.collapse,
    0x91: _Machine.collapse,
    ord("e"): _Machine.discard_to_mark,
    ord("u"): _Machine.discard_to_mark,
    0x90: _Machine.discard_to_mark,
    ord("a"): lambda machine: machine.drop(1),
    ord("s"): lambda machine: machine.drop(2),
    ord("b"): lambda machine: machine.drop(1),
    0x93: _Machine.stack_global,
    ord("c"): _Machine.line_global,
    0x82: lambda machine: machine.extension(1),
    0x83: lambda machine: machine.extension(2),
    0x84: lambda machine: machine.extension(4),
    ord("i"): _Machine.instance,
    ord("o"): _Machine.object,
    ord("R"): _Machine.reduce,
    0x81: lambda machine: machine.new_object(2),
    0x92: lambda machine: machine.new_object(3),
    ord("p"): lambda machine: machine.put(int(machine.line())),
    ord("r"): lambda machine: machine.put(machine.number(4)),
    ord("g"): lambda machine: machine.get(int(machine.line())),
    ord("P"): lambda machine: machine.persistent(line=True),
    ord("Q"): lambda machine: machine.persistent(line=False),
    0x97: _Machine.next_buffer,
    0x98: lambda machine: machine.drop(0),
}
