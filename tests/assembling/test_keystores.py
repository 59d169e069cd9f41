"""Java's store of authorities, as Debian makes it: the same authorities give the same bytes."""

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from model_envelope.assembling.keystores import without_times

DEBIANS = Path("/etc/ssl/certs/java/cacerts")


def text(word: str) -> bytes:
    return struct.pack(">H", len(word)) + word.encode()


def store(*entries, tag=2, password="changeit", version=2) -> bytes:
    body = struct.pack(">III", 0xFEEDFEED, version, len(entries))
    for name, moment, certificate in entries:
        body += struct.pack(">I", tag) + text(name) + struct.pack(">Q", moment) + text("X.509")
        body += struct.pack(">I", len(certificate)) + certificate
    return body + hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def test_time_and_order_make_no_difference(tmp_path):
    path = tmp_path / "cacerts"
    found = []
    for entries in ([("a", 1_000, b"one"), ("b", 2_000, b"two")], [("b", 7, b"two"), ("a", 8, b"one")]):
        path.write_bytes(store(*entries))
        assert without_times(path)
        found.append(path.read_bytes())
    assert found[0] == found[1] == store(("a", 0, b"one"), ("b", 0, b"two"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a PKCS#12 store, say",
        store(("a", 1, b"one"), tag=1),
        store(("a", 1, b"one"), password="own"),
        store(("a", 1, b"one"), version=1),
        store(("a", 1, b"one"))[:-1],
    ],
    ids=["empty", "other", "a key", "other password", "other version", "cut short"],
)
def test_any_other_store_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "cacerts"
    path.write_bytes(content)
    assert not without_times(path)
    assert path.read_bytes() == content


@pytest.mark.skipif(not DEBIANS.is_file() or not shutil.which("keytool"), reason="needs a Java of Debian's")
def test_java_reads_it_as_before(tmp_path):
    path = tmp_path / "cacerts"
    shutil.copyfile(DEBIANS, path)

    def listed() -> list[str]:
        command = ["keytool", "-list", "-keystore", path, "-storepass", "changeit"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return sorted(line for line in said.splitlines() if "SHA-256" in line)

    before = listed()
    assert without_times(path)
    assert listed() == before
