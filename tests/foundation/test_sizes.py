"""Sizes as people write them."""

import pytest

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.sizes import read_size


@pytest.mark.parametrize(
    ("text", "size"), [("500", 500), ("2GB", 2 * 10**9), (" 1.5 gb ", 1_500_000_000), ("64MiB", 2**26), ("10k", 10_000)]
)
def test_sizes_are_written_as_people_do(text, size):
    assert read_size(text, "--code-limit", code="code.limit-not-a-size") == size


@pytest.mark.parametrize("text", ["", "2XB", "-1MB", "many"])
def test_what_is_no_size_is_said_with_its_place(text):
    with pytest.raises(InvalidInput, match=r"pyproject\.toml: code-limit is .*expected a size such as 2GB"):
        read_size(text, "pyproject.toml: code-limit", code="code.limit-not-a-size")
