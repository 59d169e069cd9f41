import hashlib
import json

import pytest

from model_envelope.runtime.origin import CARRIED, Origin, origin_of
from model_envelope.store.ledger import LedgerWriter, append_tags

COMMIT = "0123456789abcdef" * 2 + "01234567"


def note(envelope, document) -> None:
    """Note a provenance as sealing does."""
    content = json.dumps(document).encode()
    name = hashlib.sha256(content).hexdigest()
    (envelope / "provenance").mkdir(exist_ok=True)
    (envelope / "provenance" / f"{name}.json").write_bytes(content)
    LedgerWriter(envelope).append("sealed", digest="", provenance=name)


def test_the_commit_is_that_of_the_last_sealing(tmp_path):
    note(tmp_path, {"git": {"commit": "a" * 40}})
    note(tmp_path, {"git": {"commit": COMMIT, "dirty": "sha256:1"}})
    append_tags(tmp_path, {"stage": "production"})
    assert origin_of(tmp_path) == Origin(COMMIT, dirty=True)


@pytest.mark.parametrize("commit", ["a" * 40, "b" * 64])
def test_a_clean_checkout(tmp_path, commit):
    note(tmp_path, {"git": {"commit": commit}})
    assert origin_of(tmp_path) == Origin(commit, dirty=False)


def test_what_an_image_carries(tmp_path):
    (tmp_path / "provenance").mkdir()
    (tmp_path / CARRIED).write_text(json.dumps(Origin(COMMIT, dirty=False).to_document()))
    assert origin_of(tmp_path) == Origin(COMMIT, dirty=False)


@pytest.mark.parametrize(
    "document", [{}, {"git": {}}, {"git": []}, [], {"git": {"commit": 5}}, {"git": {"commit": "x; rm -rf /"}}, None]
)
def test_where_no_commit_was_noted_there_is_none(tmp_path, document):
    note(tmp_path, document)
    assert origin_of(tmp_path) is None


def test_a_provenance_that_was_changed_or_did_not_come_along_tells_nothing(tmp_path):
    assert origin_of(tmp_path) is None
    note(tmp_path, {"git": {"commit": COMMIT}})
    (path,) = (tmp_path / "provenance").iterdir()
    path.write_text(json.dumps({"git": {"commit": "a" * 40}}))
    assert origin_of(tmp_path) is None
    path.unlink()
    assert origin_of(tmp_path) is None
    (tmp_path / "ledger.jsonl").write_bytes(b"\xff{")
    assert origin_of(tmp_path) is None
    (tmp_path / "ledger.jsonl").write_text('{"kind": "sealed", "provenance": "../../etc/passwd"}\n')
    assert origin_of(tmp_path) is None
