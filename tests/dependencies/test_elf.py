import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from handmade_elf import ADDRESS, elf, segment
from hypothesis import given, settings
from hypothesis import strategies as st

from model_envelope.dependencies.elf import Linkage, MalformedElf, read_linkage

WHOLE = elf("libgomp.so.1", "libc.so.6", soname="libx.so", runpath="$ORIGIN/../x.libs:/opt/lib")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("elf") / "x.so"

    def write(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [32, 64])
def test_every_class_and_byte_order_is_read(file, bits, order):
    content = elf("libgomp.so.1", "libc.so.6", soname="libx.so", runpath="$ORIGIN:/opt/lib", bits=bits, order=order)
    assert read_linkage(file(content)) == Linkage("libx.so", ("libgomp.so.1", "libc.so.6"), ("$ORIGIN", "/opt/lib"))


def test_an_rpath_counts_only_without_a_runpath(file):
    assert read_linkage(file(elf("a.so", rpath="$ORIGIN/old"))).search == ("$ORIGIN/old",)
    assert read_linkage(file(elf("a.so", rpath="$ORIGIN/old", runpath="$ORIGIN/new"))).search == ("$ORIGIN/new",)


def test_a_file_that_needs_nothing(file):
    assert read_linkage(file(elf())) == Linkage()
    assert read_linkage(file(elf(soname="libx.so"))) == Linkage("libx.so")


def test_a_file_without_a_dynamic_section_needs_nothing(file):
    static = WHOLE[:56] + struct.pack("<H", 1) + WHOLE[58:]
    assert read_linkage(file(static)) == Linkage()


@pytest.mark.parametrize(
    "content", [b"", b"\x7fEL", b"/* GNU ld script */\nINPUT(-lfoo)\n", b"\xcf\xfa\xed\xfe" + bytes(60)]
)
def test_what_is_no_elf_file_is_told_from_a_broken_one(file, content):
    assert read_linkage(file(content)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF",
        b"\x7fELF\x03\x01" + WHOLE[6:],
        b"\x7fELF\x02\x07" + WHOLE[6:],
        WHOLE[:63],
        # A table of program headers, a dynamic section and a string table that lead nowhere, or are of absurd size.
        WHOLE[:32] + struct.pack("<Q", 1 << 63) + WHOLE[40:],
        WHOLE[:32] + struct.pack("<Q", (1 << 64) - 1) + WHOLE[40:],
        WHOLE[:54] + struct.pack("<HH", 56, 65535) + WHOLE[58:],
        WHOLE[:54] + struct.pack("<H", 1) + WHOLE[56:],
        WHOLE[:120] + segment(2, 1 << 62, 0, 64) + WHOLE[176:],
        WHOLE[:120] + segment(2, 176, 0, 1 << 60) + WHOLE[176:],
        WHOLE[:64] + segment(1, 0, ADDRESS * 16, 4096) + WHOLE[120:],
        WHOLE.replace(struct.pack("<qQ", 1, 1), struct.pack("<qQ", 1, 1 << 40)),
        WHOLE.rstrip(b"\0") + b"x" * 9000,
    ],
)
def test_a_broken_file_says_what_is_wrong(file, content):
    with pytest.raises(MalformedElf, match=r"\w+ "):
        read_linkage(file(content))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_that_is_cut_off_anywhere_is_read_or_refused(file, length):
    try:
        found = read_linkage(file(WHOLE[:length]))
    except MalformedElf:
        return
    assert found is None or found.needed in {(), ("libgomp.so.1", "libc.so.6")}


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(4, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_a_file_with_other_bytes_is_read_or_refused(file, changes):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    try:
        found = read_linkage(file(bytes(content)))
    except MalformedElf:
        return
    assert all(len(name) <= 4096 for name in found.needed)


def test_a_file_of_this_machine_s_compiler_is_read(tmp_path):
    # The interpreter itself, or the library that it lives in, has been linked by a real linker.
    lines = Path(f"/proc/{os.getpid()}/maps").read_text().splitlines()
    loaded = {line.split()[-1] for line in lines if ".so" in line and line.split()[-1].startswith("/")}
    read = {path: read_linkage(Path(path)) for path in loaded if Path(path).is_file()}
    assert any("libc.so.6" in linkage.needed for linkage in read.values())
    assert any(linkage.soname == "libc.so.6" for linkage in read.values())


def test_nothing_of_it_is_loaded_at_start_up():
    code = "import model_envelope.__main__, sys; print('model_envelope.dependencies.elf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
