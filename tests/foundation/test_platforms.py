import pytest

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.platforms import KNOWN, Platform


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("linux/arm64", "linux/arm64"),
        ("Linux/aarch64", "linux/arm64"),
        ("linux-x86_64", "linux/amd64"),
        ("macosx-14.0-arm64", "macos/arm64"),
        ("darwin/arm64", "macos/arm64"),
    ],
)
def test_a_platform_has_many_names(text, name):
    assert str(Platform.parse(text)) == name


@pytest.mark.parametrize("text", ["", "linux", "linux/sparc", "arm64", "windows/amd64", "linux/arm64/v8"])
def test_what_no_lock_can_be_for_is_refused_with_what_can(text):
    with pytest.raises(InvalidInput) as caught:
        Platform.parse(text)
    assert "`linux/arm64`" in caught.value.hint


@pytest.mark.parametrize("platform", KNOWN, ids=str)
def test_what_an_envelope_notes_is_read_back(platform):
    assert Platform.of(platform.tag) == platform


def test_a_python_for_both_kinds_of_mac_runs_what_is_for_one():
    assert Platform.of("macosx-10.9-universal2").runs(Platform("macos", "arm64"))
    assert not Platform("linux", "arm64").runs(Platform("linux", "amd64"))
