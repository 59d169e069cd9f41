"""Why nothing could be locked: in the same words and with the same code, whichever resolver failed."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model_envelope.dependencies import rooms
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.resolvers import LockRequest, choose
from model_envelope.dependencies.rooms import clean_room
from model_envelope.foundation.errors import ToolFailed, Unsolvable
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform

HERE = Platform.here()
OTHER = Platform("linux", "arm64" if HERE.machine == "amd64" else "amd64")
NEXT = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
MINE = f"cp{sys.version_info.major}{sys.version_info.minor}"
MACHINE = HERE.tag.rpartition("-")[2]

UV, PIP_TOOLS = choose("uv"), choose("pip-tools")

every_resolver = pytest.mark.parametrize(
    "resolver", [UV, pytest.param(PIP_TOOLS, marks=pytest.mark.slow)], ids=lambda resolver: resolver.name
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch, tmp_path):
    """Nothing but what a test says: no retries, no caches, no settings of this machine."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    for name in (*os.environ,):
        if name.lower() in (
            "no_proxy",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "pip_find_links",
            "pip_default_timeout",
        ):
            monkeypatch.delenv(name)


def request(*needs, constraints=None, index, **given):
    lines = "".join(f"{need}\n" for need in needs).encode()
    return LockRequest(lines, constraints or {}, Path(sys.executable), index, **given)


def failure(resolver, asked, kind=Unsolvable):
    with pytest.raises(kind) as caught:
        resolver.lock(asked)
    assert caught.value.hint
    print(str(caught.value))
    assert caught.value.detail
    return caught.value


def problems(error):
    return [(problem.path, problem.found, problem.expected) for problem in error.problems]


@every_resolver
def test_a_version_is_gone_from_the_index(resolver, simple_index):
    index = simple_index()
    for version in ("2.0", "2.1", "3.0"):
        index.add("thing", version)
    index.add("model", requires=["thing"])
    error = failure(resolver, request("model==1.0", constraints={"thing": "1.0"}, index=index.index))
    assert error.code == "lock.version-gone"
    assert "`thing==1.0` is gone from the index" in error.message
    assert problems(error)[0] == ("thing==1.0", "3.0, 2.1, 2.0 on the index", "this version")
    assert "--upgrade-package" in error.hint


@every_resolver
def test_no_index_has_it(resolver, simple_index):
    index = simple_index()
    index.add("model", requires=["our-features"])
    error = failure(resolver, request("our-features==1.0", "model==1.0", index=index.index))
    assert error.code == "lock.not-on-index"
    assert "no index has `our-features==1.0`" in error.message
    assert "find-links" in error.hint


@every_resolver
def test_versions_that_do_not_fit_each_other_are_told_with_who_asks(resolver, wheelhouse):
    wheelhouse.add("thing", requires=["other>=2", "more"])
    for version in ("1.0", "2.0"):
        wheelhouse.add("other", version)
    wheelhouse.add("more")
    error = failure(resolver, request("thing==1.0", constraints={"other": "1.0"}, index=wheelhouse.index))
    assert error.code == "lock.conflict"
    assert "`thing==1.0`" in error.message
    assert problems(error) == [("other", "1.0 in this environment", ">=2 for thing 1.0")]
    assert "--upgrade-package other" in error.hint


@every_resolver
def test_nothing_of_it_is_for_this_platform(resolver, simple_index):
    index = simple_index()
    index.add("fast", tag=f"py3-none-manylinux_2_17_{OTHER.tag.rpartition('-')[2]}")
    error = failure(resolver, request("fast==1.0", index=index.index))
    assert error.code == "lock.no-wheel"
    assert f"`fast==1.0` has no wheel for {HERE}" in error.message
    assert problems(error) == [("fast==1.0", f"files for {OTHER}", f"a wheel for {HERE}")]


@every_resolver
def test_nothing_of_it_is_for_this_python(resolver, simple_index):
    index = simple_index()
    index.add("fast", tag=f"cp39-cp39-manylinux_2_17_{MACHINE}")
    error = failure(resolver, request("fast==1.0", index=index.index))
    assert error.code == "lock.no-python-wheel"
    assert problems(error)[0][1] == "wheels for Python 3.9"


@every_resolver
def test_a_version_says_that_it_is_for_other_pythons(resolver, simple_index):
    index = simple_index()
    index.add("fast", python=f">={NEXT}")
    error = failure(resolver, request("fast==1.0", index=index.index))
    assert error.code == "lock.python"
    assert problems(error)[0][1] == f"a version for Python >={NEXT}"


def test_what_another_platform_or_python_lacks_is_told_too(simple_index):
    index = simple_index()
    index.add("fast", tag=f"{MINE}-{MINE}-manylinux_2_17_{MACHINE}")
    asked = request("fast==1.0", index=index.index)
    error = failure(UV, replace(asked, platform=OTHER))
    assert (error.code, problems(error)[0][2]) == ("lock.no-wheel", f"a wheel for {OTHER}")
    error = failure(UV, replace(asked, python_version=NEXT))
    assert (error.code, problems(error)[0][2]) == ("lock.no-python-wheel", f"one for {NEXT}")


@every_resolver
def test_the_index_is_down(resolver):
    nowhere = IndexSettings("http://bob:hunter22@127.0.0.1:9/simple")
    error = failure(resolver, request("six==1.17.0", index=nowhere), ToolFailed)
    assert error.code == "lock.index-unreachable"
    assert "hunter22" not in str(error)
    assert "--no-lock" in error.hint


@every_resolver
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "lock.index-forbidden"),
        (403, "lock.index-forbidden"),
        (407, "lock.proxy-password"),
        (500, "lock.index-broken"),
        (503, "lock.index-broken"),
    ],
)
def test_the_index_answers_with_an_error(resolver, simple_index, status, code):
    index = simple_index()
    index.add("thing")
    index.status = status
    error = failure(resolver, request("thing==1.0", index=index.index), ToolFailed)
    assert error.code == code
    assert "nothing was locked" in error.message


@every_resolver
def test_the_proxy_asks_for_a_password(resolver, simple_index):
    proxy = simple_index()
    proxy.status = 407
    settings = IndexSettings("http://index.example/simple", proxy=proxy.url.removesuffix("/simple"))
    error = failure(resolver, request("thing==1.0", index=settings), ToolFailed)
    assert error.code == "lock.proxy-password"
    assert "USER:PASSWORD" in error.hint


@every_resolver
def test_the_index_does_not_answer_in_time(resolver, simple_index):
    index = simple_index()
    index.add("thing")
    index.delay = 3.0
    settings = replace(index.index, timeout="1")
    assert failure(resolver, request("thing==1.0", index=settings), ToolFailed).code == "lock.index-slow"


@every_resolver
def test_the_index_breaks_off_half_way(resolver, simple_index):
    index = simple_index()
    index.add("thing")
    index.cut = True
    assert failure(resolver, request("thing==1.0", index=index.index), ToolFailed).code == "lock.index-broken-off"


def test_a_file_has_another_hash_than_the_index_lists(simple_index, monkeypatch, tmp_path):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    index = simple_index()
    index.add("thing")
    index.wrong_hashes = True
    asked = request("thing==1.0", index=index.index)
    assert failure(PIP_TOOLS, asked, ToolFailed).code == "lock.hash-mismatch"
    # uv reads of a file no more than it needs: there it is told by what installs the whole of it.
    lock = UV.lock(asked)
    with pytest.raises(ToolFailed, match="does not have the hash that the lock has"):
        clean_room(lock, python=Path(sys.executable), index=index.index)


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("trouble", "said", "way_out"),
    [
        ({"status": 401}, "wants other credentials", "USER:PASSWORD"),
        ({"status": 403}, "wants other credentials", "USER:PASSWORD"),
        ({"status": 407}, "the proxy before the package index asks for a password", "HTTPS_PROXY"),
        ({"status": 503}, "answers with an error of its own", "--no-proof"),
        ({"delay": 3.0}, "did not answer in time", "--no-proof"),
        ({"cut": True}, "ended its answer half way", "try again"),
        ({"url": "http://bob:hunter22@127.0.0.1:9/simple"}, "cannot be reached", "--no-proof"),
    ],
    ids=lambda part: "-".join(map(str, part)) if isinstance(part, dict) else "",
)
def test_the_index_fails_while_a_clean_room_is_made(
    installer, trouble, said, way_out, simple_index, monkeypatch, tmp_path
):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    if installer == "pip":
        monkeypatch.setattr(rooms, "find_uv", lambda: None)
    index = simple_index()
    lock = Lock((Pin("thing", "1.0", (index.add("thing"),)),))
    for name, value in trouble.items():
        setattr(index, name, value)
    with pytest.raises(ToolFailed, match=said) as caught:
        clean_room(lock, python=Path(sys.executable), index=replace(index.index, timeout="1"))
    assert caught.value.code == "room.install"
    assert way_out in caught.value.hint
    assert "hunter22" not in str(caught.value)
    assert not list((tmp_path / "cache" / "rooms").glob("*/"))
