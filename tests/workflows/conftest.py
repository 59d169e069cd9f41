"""What the tests of workflows share."""

import pytest


@pytest.fixture
def index(wheelhouse, monkeypatch):
    """What pip's settings name: a folder of wheels, and nothing else."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse.folder))
    return wheelhouse
