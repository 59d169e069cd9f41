import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_envelope.foundation.errors import InvalidInput, Unsolvable
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.targets.merging import counts, merge, surroundings
from model_envelope.targets.target import SUPPORTED_PYTHONS, all_targets, find_target

IMAGES = [target for target in all_targets() if target.makes_image]
HASH = f"sha256:{'a' * 64}"


def lock(**versions) -> bytes:
    return Lock(tuple(Pin(name.replace("_", "-"), version, (HASH,)) for name, version in versions.items())).to_bytes()


def merged(content: bytes, python: str = "3.11") -> dict[str, Pin]:
    return {pin.name: pin for pin in Lock.parse(merge(content, find_target("service"), python)).pins}


def test_what_only_one_side_pins_is_kept_as_it_is():
    own = {pin.name: pin for pin in find_target("service").pins("3.11").pins}
    found = merged(lock(numpy="2.1.0"))
    assert found == {**own, "numpy": Pin("numpy", "2.1.0", (HASH,))}


def test_the_envelopes_pin_wins_in_the_range_of_the_target():
    found = merged(lock(anyio="4.0.0", starlette="0.50"))
    assert found["anyio"].version == "4.0.0"
    assert found["starlette"] == Pin("starlette", "0.50", (HASH,))


def test_a_clash_names_both_sides_and_all_clashes_at_once():
    with pytest.raises(Unsolvable) as caught:
        merged(lock(anyio="3.7.0", uvicorn="0.20", numpy="2.0"))
    assert caught.value.code == "target.clash"
    said = {problem.path: (problem.found, problem.expected) for problem in caught.value.problems}
    assert set(said) == {"anyio", "uvicorn"}
    assert said["anyio"][0] == "3.7.0 in the envelope's lock"
    assert re.search(r">=4.*for starlette \d", said["anyio"][1])
    assert said["uvicorn"][1].endswith("for the target `service`")


def test_a_clash_says_what_to_do():
    with pytest.raises(Unsolvable) as caught:
        merged(lock(starlette="0.19.1", anyio="4.0"))
    assert "`envelope lock ENVELOPE --for service --upgrade-package starlette`" in caught.value.hint
    # What only the target's own packages cannot live with is solved by taking other ones of these.
    with pytest.raises(Unsolvable) as caught:
        merged(lock(anyio="3.7.0"))
    assert "`envelope lock ENVELOPE --for service` looks for versions of the target's packages" in caught.value.hint


def test_what_a_replaced_pin_needed_does_not_count():
    # starlette is the envelope's, and the envelope's lock was solved with it: only it knows which anyio that needs.
    assert merged(lock(anyio="3.7.0", starlette="0.46.0"))["anyio"].version == "3.7.0"


def test_pins_for_other_platforms_give_way():
    content = Lock((Pin("idna", "1.0", (HASH,), 'sys_platform == "win32"'),)).to_bytes()
    assert merged(content)["idna"].version != "1.0"


def test_the_merge_is_one_function_of_its_inputs():
    content = lock(numpy="2.1.0", anyio="4.2.0")
    assert merge(content, find_target("service"), "3.12") == merge(content, find_target("service"), "3.12")
    assert Lock.parse(merge(content, find_target("service"), "3.12")).to_bytes() == merge(
        content, find_target("service"), "3.12"
    )


def test_a_python_that_is_not_pinned_for_is_said():
    with pytest.raises(InvalidInput) as caught:
        merged(b"", "3.9")
    assert caught.value.code == "target.python"
    assert "3.11, 3.12" in caught.value.hint


def test_an_unknown_target_names_the_known_ones():
    with pytest.raises(InvalidInput) as caught:
        find_target("servce")
    assert caught.value.code == "target.unknown"
    assert "`service`" in caught.value.hint


@pytest.mark.parametrize("python", SUPPORTED_PYTHONS)
@pytest.mark.parametrize("target", IMAGES, ids=lambda target: target.kind)
def test_the_shipped_pins_are_complete_and_in_range(target, python):
    pins = {pin.name: pin for pin in target.pins(python).pins}
    assert all(pin.hashes for pin in pins.values())
    requires = target.requires(python)
    assert set(requires) == set(pins)
    surroundings = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "extra": "",
    }
    for text in [*target.requirements, *(text for needs in requires.values() for text in needs)]:
        need = Requirement(text)
        if need.marker is None or need.marker.evaluate(surroundings):
            assert need.specifier.contains(pins[canonicalize_name(need.name)].version), text


@pytest.mark.parametrize("python", SUPPORTED_PYTHONS)
@pytest.mark.parametrize("target", IMAGES, ids=lambda target: target.kind)
def test_all_options_together_pin_each_package_once_and_in_range(target, python):
    everything = target.with_options(*target.offered)
    around = surroundings(python)
    pins = [pin for pin in everything.pins(python).pins if counts(pin.marker, around)]
    names = [pin.name for pin in pins]
    assert sorted(names) == sorted(set(names))
    found = {pin.name: pin.version for pin in pins}
    for text in [*everything.requirements, *(text for needs in everything.requires(python).values() for text in needs)]:
        need = Requirement(text)
        if need.marker is None or need.marker.evaluate(dict(around)):
            assert need.specifier.contains(found[canonicalize_name(need.name)]), text


@pytest.mark.parametrize("python", SUPPORTED_PYTHONS)
def test_an_option_adds_its_pins_and_nothing_else(python):
    plain, more = find_target("service"), find_target("service").with_options("arrow")
    added = {pin.name for pin in more.pins(python).pins} - {pin.name for pin in plain.pins(python).pins}
    assert added == {"pyarrow"}
    assert set(more.requires(python)) == {pin.name for pin in more.pins(python).pins}


def test_an_option_keeps_what_the_envelope_brings():
    target = find_target("service").with_options("arrow")
    found = {pin.name: pin for pin in Lock.parse(merge(lock(pyarrow="25.0.0"), target, "3.11")).pins}
    assert found["pyarrow"] == Pin("pyarrow", "25.0.0", (HASH,))
    with pytest.raises(Unsolvable) as caught:
        merge(lock(pyarrow="1.0"), target, "3.11")
    assert [problem.path for problem in caught.value.problems] == ["pyarrow"]
    assert merge(lock(pyarrow="1.0"), find_target("service"), "3.11"), "without the option it is the model's own matter"


def test_an_option_that_a_target_has_not_names_those_that_it_has():
    with pytest.raises(InvalidInput) as caught:
        find_target("service").with_options("arow")
    assert caught.value.code == "target.option"
    assert "`arrow`" in caught.value.hint
