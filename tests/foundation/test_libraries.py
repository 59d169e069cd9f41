import json

import pytest

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.libraries import Libraries, Library, read_libraries


def test_order_and_repetition_do_not_matter():
    gl, gomp = Library("libGL.so.1", "libgl1", ("b.so", "a.so", "b.so")), Library("libgomp.so.1", "libgomp1", ("c.so",))
    odd = Library("libodd.so", "", ("d.so",))
    one, two = Libraries.of([odd, gomp, gl]), Libraries.of([gl, odd, gomp])
    assert one.to_bytes() == two.to_bytes()
    assert Libraries.parse(one.to_bytes()) == one
    assert one.packages == ("libgl1", "libgomp1")
    assert [item.soname for item in one.unknown] == ["libodd.so"]


def test_an_envelope_without_the_file_needs_nothing(tmp_path):
    assert not read_libraries(tmp_path)


@pytest.mark.parametrize("name", ["lib x", "", "$(id)", "lib;x", "a\nRUN evil", "-x", "lib`x`", "../x"])
def test_no_name_of_a_library_can_be_more_than_a_word(name):
    with pytest.raises(InvalidInput) as caught:
        Library(name, "libx1", ())
    assert caught.value.code == "libraries.malformed"


@pytest.mark.parametrize("name", ["libx-", "-x", "x y", "x;y", "x=1", "x/sid", "Xx", "x\n", "x*", "--force-yes", "x"])
def test_no_name_of_a_package_can_be_more_than_a_word(name):
    with pytest.raises(InvalidInput):
        Library("libx.so", name, ())


@pytest.mark.parametrize("name", ["libgomp1", "libstdc++6", "libglib2.0-0", "libglib2.0-0t64", "g++"])
def test_names_of_packages(name):
    assert Library("libx.so", name, ()).package == name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"libraries": 5}',
        b'{"libraries": [5]}',
        b'{"libraries": [{}]}',
        b'{"libraries": [{"soname": 1}]}',
        b'{"libraries": [{"soname": "libx.so", "package": "x y"}]}',
        b'{"libraries": [{"soname": "libx.so", "needed_by": "abc"}]}',
        b'{"libraries": [{"soname": "libx.so", "needed_by": [1]}]}',
        b"[" * 100_000,
        json.dumps({"unknown": [{"soname": "a\nRUN evil"}]}).encode(),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(content):
    with pytest.raises(InvalidInput) as caught:
        Libraries.parse(content, where="env/system.json")
    assert caught.value.code == "libraries.malformed"
    assert "env/system.json" in caught.value.message
