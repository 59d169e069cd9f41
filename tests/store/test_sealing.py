import stat
import subprocess

import pytest

from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.runtime import manifest
from model_envelope.runtime.reading import Description, Loader
from model_envelope.store import trust
from model_envelope.store.draft import check_name, open_draft
from model_envelope.store.ledger import read_ledger
from model_envelope.store.sealing import seal


def fill(draft, content=b"model"):
    draft.write("model/model.pkl", content)
    draft.write_json("signature.json", {"format": 1, "methods": {}})
    draft.describe(
        Description("demo", "", {}, Loader("pickle", "model/model.pkl"), "3.11", "cpython", "linux-x86_64", {}, {})
    )


def sealed(into, content=b"model", **ledger):
    with open_draft(into) as draft:
        fill(draft, content)
        return seal(draft, into, name="demo", provenance={"who": "me"}, tags=ledger.get("tags", {}), metrics={})


def test_the_same_content_gives_the_same_digest(tmp_path):
    one, other = sealed(tmp_path / "a"), sealed(tmp_path / "b", tags={"stage": "canary"})
    assert one.digest == other.digest
    assert sealed(tmp_path / "c", b"another").digest != one.digest


def test_sha256sum_verifies_it_and_finds_a_changed_byte(tmp_path):
    envelope = sealed(tmp_path)
    check = ["sha256sum", "--check", "--strict", "--quiet", manifest.NAME]
    assert subprocess.run(check, cwd=envelope.path, check=False).returncode == 0
    model = envelope.path / "model" / "model.pkl"
    model.chmod(0o644)
    model.write_bytes(b"Model")
    assert subprocess.run(check, cwd=envelope.path, check=False, capture_output=True).returncode == 1
    assert manifest.compare(envelope.path).changed == ("model/model.pkl",)


def test_the_digest_is_the_hash_of_the_manifest(tmp_path):
    envelope = sealed(tmp_path)
    assert envelope.digest == manifest.file_digest(envelope.path / manifest.NAME)
    assert envelope.path.name == f"demo-{envelope.digest[:12]}"


def test_files_are_read_only_and_nothing_else_is_left(tmp_path):
    envelope = sealed(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in envelope.path.rglob("*") if path.is_file()}
    assert modes.pop("ledger.jsonl") == 0o644
    assert set(modes.values()) == {0o444}
    assert list(tmp_path.iterdir()) == [envelope.path]


def test_a_folder_that_exists_is_refused_and_nothing_left(tmp_path):
    envelope = sealed(tmp_path)
    with pytest.raises(Refused, match="this very envelope") as caught:
        sealed(tmp_path)
    assert caught.value.code == "envelope.exists"
    assert list(tmp_path.iterdir()) == [envelope.path]


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    def interrupted():
        with open_draft(tmp_path) as draft:
            fill(draft)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_missing_extra_and_changed_files_are_listed(tmp_path):
    envelope = sealed(tmp_path)
    (envelope.path / "signature.json").unlink()
    (envelope.path / "code").mkdir()
    (envelope.path / "code" / "evil.py").write_text("")
    different = manifest.compare(envelope.path)
    assert (different.missing, different.extra, different.changed) == (("signature.json",), ("code/evil.py",), ())


def test_what_was_sealed_here_is_known_and_the_ledger_says_so(tmp_path):
    envelope = sealed(tmp_path, b"known")
    assert trust.is_known(envelope.digest)
    trust.require(envelope, trusted=False)
    assert read_ledger(envelope.path).sealed[0]["digest"] == envelope.digest


def test_what_was_sealed_elsewhere_needs_trust(tmp_path, monkeypatch):
    envelope = sealed(tmp_path / "out")
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(tmp_path / "another"))
    with pytest.raises(Refused, match="--trust"):
        trust.require(envelope, trusted=False)
    trust.require(envelope, trusted=True)


@pytest.mark.parametrize("name", ["Flights", "a b", "", "-a", "a" * 65, "ü", "../a", "a..b"])
def test_a_bad_name_is_refused_with_a_better_one(name):
    with pytest.raises(InvalidInput) as caught:
        check_name(name)
    assert caught.value.code == "name.invalid"


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "/a", "a/../b", "a//b"])
def test_a_file_name_that_no_envelope_can_hold_is_refused(tmp_path, name):
    with open_draft(tmp_path) as draft, pytest.raises(Refused):
        draft.write(name, b"")


def test_two_names_that_differ_in_case_only_are_refused(tmp_path):
    with open_draft(tmp_path) as draft:
        fill(draft)
        draft.write("attachments/Plot.png", b"")
        draft.write("attachments/plot.png", b"")
        with pytest.raises(Refused, match="case"):
            seal(draft, tmp_path, name="demo", provenance={}, tags={}, metrics={})


def test_a_link_is_refused(tmp_path):
    with open_draft(tmp_path) as draft:
        fill(draft)
        (draft.folder / "link").symlink_to("/etc/hostname")
        with pytest.raises(Exception, match="link"):
            seal(draft, tmp_path, name="demo", provenance={}, tags={}, metrics={})
