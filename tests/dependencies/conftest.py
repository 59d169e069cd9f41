"""Environments made by code, so that a test says what is installed."""

import pytest
from environments import Environment


@pytest.fixture
def environment(tmp_path) -> Environment:
    folder = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    folder.mkdir(parents=True)
    return Environment(folder)
