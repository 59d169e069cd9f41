import hashlib
import json
import platform
import sys
from dataclasses import replace

from handmade import make_envelope

from model_envelope import __version__
from model_envelope.runtime.reading import EnvelopeFiles, read_envelope
from model_envelope.runtime.runtime_digest import runtime_digest
from model_envelope.serving.about import about
from model_envelope.store.ledger import LedgerWriter, append_tags

COMMIT = "0123456789abcdef" * 2 + "01234567"


def note(envelope: EnvelopeFiles, document) -> None:
    content = json.dumps(document).encode()
    name = hashlib.sha256(content).hexdigest()
    (envelope.path / "provenance").mkdir()
    (envelope.path / "provenance" / f"{name}.json").write_bytes(content)
    LedgerWriter(envelope.path).append("sealed", digest=envelope.digest, provenance=name)


def test_it_tells_which_model_answers_and_where_it_comes_from(tmp_path):
    lock = b"numpy==2.0.0 --hash=sha256:" + b"0" * 64 + b"\n"
    envelope = read_envelope(make_envelope(tmp_path, lock=lock))
    note(envelope, {"git": {"commit": COMMIT, "dirty": "sha256:1"}})
    assert about(envelope) == {
        "name": "scorer",
        "description": "Made by hand for a test",
        "digest": envelope.digest,
        "methods": ["predict", "greet", "later"],
        "framework": None,
        "git": {"commit": COMMIT, "dirty": True},
        "lock": {"file": "env/requirements.lock", "sha256": hashlib.sha256(lock).hexdigest()},
        "python": {"envelope": f"{sys.version_info[0]}.{sys.version_info[1]}", "process": platform.python_version()},
        "runtime": {"version": __version__, "digest": runtime_digest()},
    }


def test_what_nobody_knows_is_null(tmp_path):
    told = about(read_envelope(make_envelope(tmp_path, lock=None)))
    assert told["git"] is told["lock"] is None


def test_no_secret_of_whoever_packed_or_serves_it_is_told(tmp_path, monkeypatch):
    envelope = read_envelope(make_envelope(tmp_path / "private-place"))
    marks = iter(f"secret{number}" for number in range(100))
    monkeypatch.setenv("API_TOKEN", next(marks))
    monkeypatch.setenv("USER", next(marks))
    description = replace(
        envelope.description, hyperparameters={"dsn": f"postgres://{next(marks)}@host", next(marks): next(marks)}
    )
    provenance = {
        "author": next(marks),
        "machine": {"system": next(marks)},
        "git": {
            "commit": COMMIT,
            "branch": next(marks),
            "remote": f"https://user:{next(marks)}@example.com/r.git",
            "untracked": [next(marks)],
            "dirty": f"sha256:{next(marks)}",
        },
        "job": {"url": next(marks)},
        "environment": {"pip_freeze": [next(marks)]},
        "python": {"prefix": f"/home/{next(marks)}"},
    }
    note(envelope, provenance)
    append_tags(envelope.path, {next(marks): next(marks)})
    text = json.dumps(about(replace(envelope, description=description)))
    assert COMMIT in text
    for word in ("secret", "private-place", str(tmp_path), "example.com", "postgres"):
        assert word not in text
