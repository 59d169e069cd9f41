"""Goldens: texts kept beside the tests. ``pytest --refresh-goldens`` writes them anew; look at the diff then."""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--refresh-goldens", action="store_true", help="write the goldens anew instead of comparing")


@pytest.fixture
def golden(request):
    """A function that holds a text against ``golden/<name>`` beside the test."""

    def compare(name: str, text: str) -> None:
        path = Path(request.path).parent / "golden" / name
        if request.config.getoption("--refresh-goldens"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs; `pytest --refresh-goldens` writes it anew"

    return compare
