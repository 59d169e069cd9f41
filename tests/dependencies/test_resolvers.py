"""The resolvers' contract: the same request gives the same bytes, and every failure says what to do."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from wheelhouses import Wheelhouse

from model_envelope.dependencies import programs
from model_envelope.dependencies.file_names import with_file_names
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.resolvers import RESOLVERS, LockRequest, choose, pip_tools, uv
from model_envelope.foundation.errors import InvalidInput, ToolMissing, Unsolvable
from model_envelope.foundation.interpreter import Interpreter
from model_envelope.foundation.lockfile import Lock, Pin

PYTHON = Path(sys.executable)
every_resolver = pytest.mark.parametrize("resolver", RESOLVERS, ids=lambda resolver: resolver.name)


def request(needs, constraints=None, *, index=None, origins=None):
    lines = "".join(f"{need}\n" for need in needs).encode()
    return LockRequest(lines, constraints or {}, PYTHON, index or IndexSettings(), origins or {})


@every_resolver
def test_locks_the_closure_at_the_versions_of_the_environment(resolver, wheelhouse):
    first = wheelhouse.add("model-maths", "1.5", requires=["small-arrays>=1", "nothing; python_version < '3'"])
    wheelhouse.add("small-arrays", "2.0")
    second = wheelhouse.add("small-arrays", "1.1+cpu", requires=["setuptools"])
    third = wheelhouse.add("setuptools", "80.0")
    wheelhouse.add("unrelated", "3.0")
    lock = resolver.lock(
        request(
            ["model-maths==1.5"],
            {
                "model-maths": "1.5",
                "small-arrays": "1.1+cpu",
                "setuptools": "80.0",
                "unrelated": "3.0",
                "gone": "9",
                "odd": "1.0-beta-x",
            },
            index=wheelhouse.index,
        )
    )
    assert lock == Lock(
        (
            Pin("model-maths", "1.5", (first,)),
            Pin("small-arrays", "1.1+cpu", (second,)),
            Pin("setuptools", "80.0", (third,)),
        )
    )


@every_resolver
def test_hashes_every_file_of_a_version(resolver, wheelhouse):
    hashes = {
        wheelhouse.add("fast", tag=tag)
        for tag in ("py3-none-any", "cp399-cp399-win_amd64", "cp311-cp311-macosx_11_0_arm64")
    }
    lock = resolver.lock(request(["fast==1.0"], index=wheelhouse.index))
    assert set(lock.pins[0].hashes) == hashes


@pytest.mark.network
def test_all_resolvers_write_the_same_bytes_from_the_machine_s_index():
    asked = request(
        ["importlib-metadata==8.5.0"],
        {"zipp": "3.20.2", "six": "1.16.0"},
        index=IndexSettings.from_environment(),
    )
    locks = [resolver.lock(asked).to_bytes() for resolver in RESOLVERS]
    assert len(set(locks)) == 1
    assert Lock.parse(locks[0]).versions() == {"importlib-metadata": "8.5.0", "zipp": "3.20.2"}
    assert all(len(pin.hashes) == 2 for pin in Lock.parse(locks[0]).pins)


@every_resolver
def test_the_same_request_twice_gives_the_same_bytes(resolver, wheelhouse):
    for version in ("1.0", "1.1", "2.0"):
        wheelhouse.add("thing", version, requires=["other"])
        wheelhouse.add("other", version)
    asked = request(["thing==1.1"], {"other": "1.0"}, index=wheelhouse.index)
    assert resolver.lock(asked).to_bytes() == resolver.lock(asked).to_bytes()


@every_resolver
def test_a_need_that_names_its_versions_is_not_held_to_the_one_of_the_environment(resolver, wheelhouse):
    for version in ("1.0", "1.5", "2.0"):
        wheelhouse.add("thing", version)
    asked = request(["thing<2,>=1.2"], {"thing": "1.0"}, index=wheelhouse.index)
    assert resolver.lock(asked).versions() == {"thing": "1.5"}


@every_resolver
def test_names_what_was_installed_from_no_index(resolver, wheelhouse):
    wheelhouse.add("other")
    origins = {"our-features": "git+https://me:hunter22@git.example/our-features@abc", "unrelated": "file:///x"}
    with pytest.raises(Unsolvable) as caught:
        resolver.lock(request(["our-features==1.0", "other==1.0"], index=wheelhouse.index, origins=origins))
    assert "`our-features` (from git+https://****@git.example/our-features@abc)" in caught.value.message
    assert "unrelated" not in caught.value.message
    assert "hunter22" not in str(caught.value)
    assert "wheel" in caught.value.hint


def test_takes_uv_where_it_is_and_pip_tools_elsewhere(monkeypatch):
    assert choose().name == "uv"
    assert choose("pip-tools").name == "pip-tools"
    monkeypatch.setattr(uv, "find_uv", lambda: None)
    assert choose().name == "pip-tools"
    with pytest.raises(ToolMissing, match="`uv` is not installed"):
        choose("uv")
    with pytest.raises(InvalidInput, match="`poetry` is no resolver") as caught:
        choose("poetry")
    assert "`pip-tools`" in caught.value.hint


def test_uv_is_found_beside_the_tool_without_a_path(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = programs.find_uv()
    assert found is not None
    assert found.parent == Path(sys.executable).parent


def test_pip_tools_says_that_another_python_needs_uv(monkeypatch, wheelhouse):
    own = pip_tools.describe(PYTHON)
    other = Interpreter(Path("/opt/python3.9"), "3.9.1", own.implementation, own.platform)
    monkeypatch.setattr(pip_tools, "describe", lambda python: own if python == PYTHON else other)
    asked = LockRequest(b"six==1.17.0\n", {}, other.python, wheelhouse.index)
    with pytest.raises(ToolMissing, match=r"3\.9\.1") as caught:
        choose("pip-tools").lock(asked)
    assert caught.value.code == "lock.needs-uv"
    assert "uv" in caught.value.hint


def locked(asked):
    """What all resolvers answer, which has to be one and the same."""
    answers = [choose(name).lock(asked) for name in ("uv", "pip-tools")]
    assert len({answer.to_bytes() for answer in answers}) == 1, [answer.to_bytes() for answer in answers]
    return answers[0]


def test_all_give_the_same_bytes_for_extras_and_markers(wheelhouse):
    wheelhouse.add("model", requires=["fast; extra == 'speed'", "old; python_version < '3'", "slow"], extras=["speed"])
    for name in ("fast", "slow", "here"):
        wheelhouse.add(name)
    needs = ["model[speed]==1.0", "here==1.0 ; python_version >= '3.8'", "nowhere==1.0 ; python_version < '3'"]
    found = locked(request(needs, index=wheelhouse.index))
    assert found.versions() == dict.fromkeys(("fast", "here", "model", "slow"), "1.0")
    assert not any(pin.marker for pin in found.pins)


def test_all_take_the_local_version_of_the_environment(wheelhouse):
    for version in ("2.13.0", "2.13.0+cpu", "2.13.0+cu126", "2.14.0"):
        wheelhouse.add("tensors", version)
    wheelhouse.add("model", requires=["tensors>=2"])
    found = locked(request(["model==1.0"], {"tensors": "2.13.0+cpu"}, index=wheelhouse.index))
    assert found.versions()["tensors"] == "2.13.0+cpu"
    direct = locked(request(["tensors==2.13.0+cpu"], {"tensors": "2.13.0+cpu"}, index=wheelhouse.index))
    assert direct.versions() == {"tensors": "2.13.0+cpu"}


def test_all_take_the_files_of_every_index_that_has_a_version(wheelhouse, simple_index, tmp_path):
    main, extra = simple_index("main"), simple_index("extra")
    hashes = {
        main.add("thing", "1.0"),
        extra.add("thing", "1.0", tag="cp399-cp399-win_amd64"),
        main.add("thing", "2.0"),
    }
    only = extra.add("ours", "1.0", requires=["thing"])
    settings = IndexSettings(main.url, (extra.url,), trusted_hosts=("127.0.0.1",))
    found = locked(request(["ours==1.0"], {"thing": "1.0"}, index=settings))
    assert {pin.name: set(pin.hashes) <= hashes | {only} for pin in found.pins} == {"ours": True, "thing": True}
    assert len(next(pin for pin in found.pins if pin.name == "thing").hashes) == 2
    named = with_file_names(found, settings)
    assert {name for pin in named.pins for _, name in pin.files} == {
        "ours-1.0-py3-none-any.whl",
        "thing-1.0-cp399-cp399-win_amd64.whl",
        "thing-1.0-py3-none-any.whl",
    }


def test_all_take_a_wheel_that_travels_rather_than_one_of_that_version_on_an_index(wheelhouse, tmp_path):
    wheelhouse.add("our-features", "1.0", requires=["of-the-index"])
    wheelhouse.add("of-the-index")
    wheelhouse.add("of-ours")
    wheelhouse.add("model", requires=["our-features"])
    own = Wheelhouse(tmp_path / "own, and more")
    own.folder.mkdir()
    value = own.add("our-features", "1.0", requires=["of-ours"])
    travelling = {"our-features": next(own.folder.iterdir())}
    for needs in (["model==1.0"], ["model==1.0", "our-features==1.0"]):
        asked = replace(request(needs, {"our-features": "1.0"}, index=wheelhouse.index), wheels=travelling)
        found = locked(asked)
        assert found.versions() == dict.fromkeys(("model", "of-ours", "our-features"), "1.0")
        pin = next(pin for pin in found.pins if pin.name == "our-features")
        assert (pin.hashes, pin.source) == ((value,), "")


@pytest.mark.parametrize(
    ("hashes", "as_json"), [(True, False), (True, True), (False, False)], ids=["links", "json", "no hashes"]
)
def test_all_give_the_same_bytes_whatever_an_index_lists(simple_index, hashes, as_json):
    index = simple_index()
    index.hashes, index.json = hashes, as_json
    value = index.add("thing", requires=["other"])
    index.add("other", "2.0")
    found = locked(request(["thing==1.0"], index=index.index))
    assert found.versions() == {"other": "2.0", "thing": "1.0"}
    assert next(pin for pin in found.pins if pin.name == "thing").hashes == (value,)


def test_pip_tools_asks_for_no_file_whose_hash_is_listed(simple_index):
    index = simple_index()
    for tag in ("py3-none-any", "cp399-cp399-win_amd64", "cp38-cp38-macosx_11_0_arm64"):
        index.add("thing", tag=tag)
    found = choose("pip-tools").lock(request(["thing==1.0"], index=index.index))
    assert len(found.pins[0].hashes) == 3
    assert not [path for path in index.asked if "win_amd64" in path or "macosx" in path]


def test_all_know_a_version_however_a_file_spells_it(simple_index):
    index = simple_index()
    value = index.add("certificates", "2022.12.07")
    index.add("certificates", "2022.12.06")
    found = locked(request(["certificates==2022.12.7"], index=index.index))
    assert found.versions() == {"certificates": "2022.12.7"}
    assert found.pins[0].hashes == (value,)
    assert [name for _, name in with_file_names(found, index.index).pins[0].files] == [
        "certificates-2022.12.07-py3-none-any.whl"
    ]
