"""Fixtures of tests that need a Docker Engine."""

import pytest

from model_envelope.targets.engine import Engine

NAMELESS = {"dangling": True}


@pytest.fixture(scope="module")
def engine():
    """The engine that this machine has."""
    found = Engine.connect()
    yield found
    found.close()


@pytest.fixture
def no_dangling(engine):
    """The classic builder keeps its first stage as a nameless image, to build from again: it is gone afterwards."""
    before = {image.id for image in engine.client.images.list(filters=NAMELESS)}
    yield
    for image in engine.client.images.list(filters=NAMELESS):
        if image.id not in before:
            engine.forget(image.id)
