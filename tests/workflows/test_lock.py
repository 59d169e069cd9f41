import pytest
from models import dump, run, write_module

from model_envelope.foundation.errors import Answered, Refused
from model_envelope.runtime.manifest import compare
from model_envelope.runtime.reading import read_envelope, read_json
from model_envelope.store.ledger import append_metrics, read_ledger
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Label, SampleFile, pack


@pytest.fixture
def unlocked(tmp_path):
    run(tmp_path, "import pickle, numpy; pickle.dump(numpy.arange(4.0), open('x.pkl', 'wb'))")
    write_module(tmp_path, "sums", "class Sums:\n    def predict(self, X):\n        return X * 2\n")
    dump(tmp_path, "sums.Sums()")
    samples = SampleFile(tmp_path / "x.pkl", "x.pkl")
    label = Label("sums", tags={"stage": "canary"})
    return pack(tmp_path / "m.pkl", samples=samples, into=tmp_path / "out", lock=False, label=label).path


@pytest.mark.network
def test_an_unlocked_envelope_is_finished_later(unlocked):
    append_metrics(unlocked, {"mae": 0.5})
    result = lock(unlocked)
    before, after = read_envelope(unlocked), read_envelope(result.path)
    assert result.proven
    assert result.previous == before.digest != after.digest
    assert not compare(after.path)
    assert after.lock.read_text().startswith("numpy==")
    assert not before.lock.exists()
    ledger = read_ledger(after.path)
    assert (ledger.tags, ledger.metrics) == ({"stage": "canary"}, {"mae": 0.5})
    witness = read_json(after.path / "provenance" / f"{ledger.sealed[-1]['provenance']}.json")
    assert witness["previous"] == before.digest


@pytest.mark.network
def test_both_resolvers_give_the_same_digest(unlocked, tmp_path):
    digests = {lock(unlocked, resolver=name, prove=False, into=tmp_path / name).digest for name in ("uv", "pip-tools")}
    assert len(digests) == 1


def test_an_envelope_from_elsewhere_is_not_proven_without_trust(unlocked, tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_STATE_DIR", str(tmp_path / "another-user"))
    with pytest.raises(Refused, match="trust"):
        lock(unlocked)


def test_a_changed_envelope_is_not_locked(unlocked):
    (unlocked / "code" / "evil.py").write_text("")
    with pytest.raises(Answered):
        lock(unlocked)
