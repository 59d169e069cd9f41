"""The lock's bytes: one way to write the same pins, and a line number for what is malformed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.lockfile import Lock, Pin

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64

HASHES = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format), min_size=1, max_size=4)
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}(rc[0-9])?(\+cpu)?", fullmatch=True)
MARKERS = st.sampled_from(["", "", "", "python_version < '3.12'", 'sys_platform == "linux"'])
PINS = st.builds(Pin, NAMES, VERSIONS, HASHES.map(tuple), MARKERS)
LOCKS = st.lists(PINS, max_size=8, unique_by=lambda pin: pin.name).map(tuple).map(Lock)


@given(LOCKS)
def test_what_is_written_is_read_again(lock):
    assert Lock.parse(lock.to_bytes()) == lock
    assert Lock.parse(lock.to_bytes()).to_bytes() == lock.to_bytes()


@given(LOCKS, st.randoms())
def test_the_same_pins_give_the_same_bytes(lock, random):
    shuffled = [
        Pin(pin.name.upper(), pin.version, tuple(random.sample(pin.hashes, len(pin.hashes))) * 2, pin.marker)
        for pin in lock.pins
    ]
    random.shuffle(shuffled)
    assert Lock(tuple(shuffled)).to_bytes() == lock.to_bytes()


@given(LOCKS)
def test_the_bytes_are_sorted_lines_and_nothing_else(lock):
    content = lock.to_bytes().decode()
    names = [line.split("==")[0] for line in content.splitlines() if not line.startswith("    ")]
    assert names == sorted(names)
    assert "#" not in content
    assert "://" not in content
    assert not content or content.endswith("\n")
    assert lock.versions() == {pin.name: str(Version(pin.version)) for pin in lock.pins}


def test_looks_as_pip_and_uv_read_it():
    lock = Lock((Pin("Six", "1.17.0", (B, A)), Pin("torch", "2.13.0+cpu", (A,), "sys_platform == 'linux'")))
    assert lock.to_bytes().decode() == (
        f"six==1.17.0 \\\n    --hash={A} \\\n    --hash={B}\n"
        f'torch==2.13.0+cpu ; sys_platform == "linux" \\\n    --hash={A}\n'
    )
    assert Lock(()).to_bytes() == b""


def test_reads_what_resolvers_write():
    text = (
        "# made by a resolver\n\n"
        f"Zope.Interface[docs]==7.2 ; python_version >= '3.11' \\\n    --hash={B} \\\n    --hash={A}\n"
        "    # via something\n"
        f"six==1.17.0 --hash={A}  # a remark\r\n"
        f"local-thing @ https://example.org/local_thing-1.0-py3-none-any.whl --hash={A}\n"
    )
    lock = Lock.parse(text.encode())
    assert [pin.requirement for pin in lock.pins] == [
        "local-thing @ https://example.org/local_thing-1.0-py3-none-any.whl",
        "six==1.17.0",
        'zope-interface==7.2 ; python_version >= "3.11"',
    ]
    assert lock.pins[2].hashes == (A, B)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("six==1.17.0", "without a hash"),
        (f"six>=1.17.0 --hash={A}", "six>=1.17.0"),
        (f"six==1.* --hash={A}", "no version"),
        (f"six --hash={A}", "`six`"),
        ("six==1.17.0 --hash=sha256:abc", "no hash"),
        (f"six==1.17.0 --hash=md5:{'a' * 32}", "no hash"),
        (f"six==1.17.0 ; nonsense --hash={A}", "no marker"),
        ("--index-url https://user:secret@example.org/simple", "an option (`--index-url`)"),
        ("-e .", "an option (`-e`)"),
        (f"six==1.17.0 --install-option=x --hash={A}", "no hash"),
    ],
)
def test_a_malformed_line_is_named(line, said):
    with pytest.raises(InvalidInput) as caught:
        Lock.parse(f"click==8.1.7 \\\n    --hash={A}\n\n{line}\n".encode(), where="env/requirements.lock")
    assert caught.value.code == "lock.malformed"
    assert "env/requirements.lock:4" in str(caught.value)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_all_malformed_lines_come_at_once():
    with pytest.raises(InvalidInput, match="2 problems") as caught:
        Lock.parse(b"six\n\nclick\n")
    assert [problem.path for problem in caught.value.problems] == ["requirements.lock:1", "requirements.lock:3"]


def test_one_distribution_has_one_version():
    with pytest.raises(InvalidInput, match="pinned twice"):
        Lock.parse(f"six==1.16.0 --hash={A}\nSIX==1.17.0 --hash={A}\n".encode())
    both = f"six==1.16.0 ; python_version < '3' --hash={A}\nsix==1.17.0 ; python_version >= '3' --hash={A}\n"
    assert len(Lock.parse(both.encode()).pins) == 2


def test_bytes_that_are_no_text_are_no_lock():
    with pytest.raises(InvalidInput, match="UTF-8"):
        Lock.parse(b"\xff\xfe")
