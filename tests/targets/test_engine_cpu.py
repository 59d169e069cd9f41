"""Images of locks with builds for CPUs, which only an index of their own has."""

import os

import pytest
from handmade import SCORER, make_envelope

from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.targets.engine import Engine
from model_envelope.workflows.build import build

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

NEEDS_THE_BUILD = SCORER.replace(
    "    def predict(self, x, y, k=3):\n",
    "    def predict(self, x, y, k=3):\n        assert __import__('torch').VERSION == '2.13.0+cpu'\n",
)


@pytest.fixture
def envelope(tmp_path, simple_index, monkeypatch):
    """An envelope whose lock names a build that only the index of PyTorch has; here that is one of this machine."""
    index = simple_index("pytorch")
    value = index.add("torch", "2.13.0+cpu")
    # Nothing else may have it: wheels that a machine has lying about.
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("ENVELOPE_PYTORCH_INDEX", index.url)
    return make_envelope(tmp_path, NEEDS_THE_BUILD, lock=Lock((Pin("torch", "2.13.0+cpu", (value,)),)).to_bytes())


@pytest.mark.parametrize("buildkit", [True, False], ids=["buildkit", "classic"])
def test_the_build_for_cpus_is_found_without_any_setting_of_an_index(envelope, buildkit, monkeypatch):
    if not buildkit:
        monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)
    engine = Engine.connect()
    name = f"envelope-test/cpu:{os.getpid()}"
    try:
        result = build(envelope, image=name)
        assert all(item.agrees for item in result.replays)
        assert os.environ["ENVELOPE_PYTORCH_INDEX"] not in str(engine.client.images.get(name).history())
    finally:
        engine.forget(name)
        engine.close()
