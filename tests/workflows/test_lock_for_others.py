"""Locks for other platforms and Pythons, with other versions, together with what a target needs."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
from handmade import make_envelope, seal

from model_envelope.foundation.errors import Answered, InvalidInput, ToolMissing, Unsolvable
from model_envelope.foundation.lockfile import Lock
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note
from model_envelope.foundation.pylock import NAME, parse
from model_envelope.runtime.reading import read_envelope, read_json
from model_envelope.store.ledger import read_ledger
from model_envelope.targets.merging import merge
from model_envelope.targets.target import find_target
from model_envelope.workflows.lock import lock
from model_envelope.workflows.verify import verify

HERE = Platform.here()
OTHER = Platform("linux", "arm64" if HERE.machine == "amd64" else "amd64")
MACHINE = OTHER.tag.rpartition("-")[2]
SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
NEXT = f"{sys.version_info.major}.{sys.version_info.minor + 1}"


@pytest.fixture
def needing(tmp_path):
    """Make an envelope that needs some packages, without a lock."""

    def make(*needs):
        folder = make_envelope(tmp_path, lock=None)
        (folder / "env" / "requirements.in").write_text("".join(f"{need}\n" for need in needs))
        seal(folder)
        return folder

    return make


def versions(envelope):
    return Lock.parse(read_envelope(envelope).lock.read_bytes()).versions()


def witness(envelope):
    return read_json(envelope / "provenance" / f"{read_ledger(envelope).sealed[-1]['provenance']}.json")


def test_a_lock_for_another_platform_has_what_that_needs(index, needing, tmp_path):
    needs = [f"elsewhere; platform_machine == '{MACHINE}'", f"here; platform_machine != '{MACHINE}'"]
    index.add("fast", requires=needs, tag="py3-none-any")
    index.add("here")
    theirs = index.add("elsewhere", tag=f"cp311-abi3-manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}")
    old, said = needing("fast==1.0"), []
    result = lock(old, platforms=[str(OTHER)], into=tmp_path / "out", trust=True, report=said.append)
    new = read_envelope(result.path)
    assert (result.proven, result.platforms, result.python) == (False, (str(OTHER),), SERIES)
    assert versions(result.path) == {"fast": "1.0", "elsewhere": "1.0"}
    assert theirs in new.lock.read_text()
    assert new.description.platform == OTHER.tag
    assert result.previous == read_envelope(old).digest != result.digest
    assert witness(result.path)["previous"] == result.previous
    notes = [event.text for event in said if isinstance(event, Note)]
    assert f"not proven: the lock is for {OTHER}, and this machine is {HERE}" in notes


def test_a_lock_for_several_platforms_marks_what_one_of_them_needs(index, needing, tmp_path):
    index.add("fast", requires=[f"elsewhere; platform_machine == '{MACHINE}'"])
    index.add("elsewhere")
    result = lock(needing("fast==1.0"), platforms=[str(HERE), str(OTHER)], into=tmp_path / "out", trust=True)
    new = read_envelope(result.path)
    assert result.proven
    pins = {pin.name: pin.marker for pin in Lock.parse(new.lock.read_bytes()).pins}
    assert pins == {
        "elsewhere": f'sys_platform == "linux" and platform_machine == "{MACHINE}"',
        "fast": "",
    }
    assert [Platform.of(tag) for tag in new.description.platforms] == [HERE, OTHER]
    assert not verify(result.path, clean=True).objection()


def test_a_lock_for_another_python_has_what_that_needs(index, needing, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    index.add("old", requires=[f"backport; python_version < '{NEXT}'"])
    index.add("backport")
    said = []
    result = lock(needing("old==1.0"), python_version=NEXT, into=tmp_path / "out", trust=True, report=said.append)
    assert versions(result.path) == {"old": "1.0"}
    assert read_envelope(result.path).description.python == result.python == NEXT
    assert f"not proven: the lock is for Python {NEXT}, and there is no `python{NEXT}` here" in [
        event.text for event in said if isinstance(event, Note)
    ]


def test_what_an_envelope_was_locked_for_it_is_locked_for_again(index, needing, tmp_path):
    index.add("fast")
    first = lock(needing("fast"), platforms=[str(OTHER)], prove=False, into=tmp_path / "first")
    index.add("fast", "1.5")
    again = lock(first.path, prove=False, upgrade=["fast"], into=tmp_path / "again")
    assert again.platforms == (str(OTHER),)
    assert versions(again.path) == {"fast": "1.5"}


def test_an_upgrade_leaves_the_others_as_they_are(index, needing, tmp_path):
    for version in ("1.0", "1.5", "2.0"):
        index.add("model-maths", version, requires=["arrays"])
        index.add("arrays", version)
    first = lock(needing("model-maths==1.0", "arrays==1.0"), prove=False, into=tmp_path / "first")
    newest = lock(first.path, upgrade=["Model_Maths"], prove=False, into=tmp_path / "newest")
    assert versions(newest.path) == {"model-maths": "2.0", "arrays": "1.0"}
    assert (newest.path / "env" / "requirements.in").read_text() == "model-maths==2.0\narrays==1.0\n"
    assert witness(newest.path)["upgraded"] == {"model-maths": "1.0 -> 2.0"}
    named = lock(first.path, upgrade=["arrays==1.5"], prove=False, into=tmp_path / "named")
    assert versions(named.path) == {"model-maths": "1.0", "arrays": "1.5"}


def test_what_only_comes_along_can_be_upgraded_too(index, needing, tmp_path):
    index.add("model-maths", requires=["arrays"])
    for version in ("1.0", "2.0"):
        index.add("arrays", version)
    first = lock(needing("model-maths"), prove=False, upgrade=["model-maths"], into=tmp_path / "first")
    assert versions(first.path)["arrays"] == "2.0"
    older = lock(first.path, upgrade=["arrays==1.0"], prove=False, into=tmp_path / "older")
    assert versions(older.path)["arrays"] == "1.0"
    assert versions(lock(older.path, prove=False, into=tmp_path / "same").path)["arrays"] == "1.0"


@pytest.mark.parametrize("word", ["arrays>=1", "arrays==1.*", "==1", "arrays[fast]"])
def test_an_upgrade_is_a_name_or_a_version(needing, word):
    with pytest.raises(InvalidInput, match="NAME==VERSION") as caught:
        lock(needing(), upgrade=[word])
    assert caught.value.code == "lock.upgrade"


def test_what_an_envelope_does_not_need_is_not_upgraded(index, needing):
    with pytest.raises(InvalidInput, match="does not need `spark`"):
        lock(needing("arrays==1.0"), upgrade=["spark"], prove=False)


@pytest.fixture
def web(tmp_path):
    """A target of a user's own, which needs `web` and pins its newest version."""
    folder = tmp_path / "web-target"
    (folder / "pins").mkdir(parents=True)
    (folder / "target.toml").write_text(
        'kind = "web"\nsummary = "A page"\npackages = []\nrequirements = ["web>=1", "server>=1"]\n'
    )
    return folder


def test_a_clash_with_a_target_is_solved_by_locking_both_together(index, needing, web, tmp_path):
    index.add("model-maths", requires=["loops"])
    old, new = index.add("loops", "3.0"), index.add("loops", "4.0")
    index.add("web", "1.0", requires=["loops>=3"])
    newest = index.add("web", "2.0", requires=["loops>=4"])
    index.add("server", "1.0")
    (web / "pins" / f"{SERIES}.lock").write_text(
        f"loops==4.0 --hash={new}\nserver==1.0 --hash={old}\nweb==2.0 --hash={newest}\n"
    )
    (web / "pins" / f"{SERIES}.requires.json").write_text('{"web": ["loops>=4"], "server": []}')
    target = find_target(str(web))
    alone = lock(needing("model-maths==1.0", "loops==3.0"), prove=False, into=tmp_path / "alone")
    with pytest.raises(Unsolvable) as caught:
        merge(read_envelope(alone.path).lock.read_bytes(), target, SERIES)
    assert "envelope lock" in caught.value.hint
    both = lock(alone.path, target=str(web), prove=False, into=tmp_path / "both")
    merged = Lock.parse(merge(read_envelope(both.path).lock.read_bytes(), target, SERIES)).versions()
    assert merged == {"loops": "3.0", "model-maths": "1.0", "server": "1.0", "web": "1.0"}
    assert witness(both.path)["for"] == "web"


def test_what_the_target_itself_cannot_live_with_is_told_with_the_way_out(index, needing, web, tmp_path):
    (web / "target.toml").write_text('kind = "web"\nsummary = "A page"\npackages = []\nrequirements = ["server>=2"]\n')
    index.add("server", "1.0")
    index.add("server", "2.0")
    old = needing("server==1.0")
    with pytest.raises(Unsolvable) as caught:
        lock(old, target=str(web), prove=False)
    assert caught.value.code == "target.clash"
    (problem,) = caught.value.problems
    assert (problem.found, problem.expected) == ("1.0 in the envelope's lock", ">=2 for the target `web`")
    assert "--for web --upgrade-package server" in caught.value.hint
    new = lock(old, target=str(web), upgrade=["server"], prove=False, into=tmp_path / "new")
    assert versions(new.path) == {"server": "2.0"}


def test_pip_tools_says_that_another_platform_needs_uv(index, needing):
    with pytest.raises(ToolMissing, match=str(OTHER)) as caught:
        lock(needing("fast==1.0"), resolver="pip-tools", platforms=[str(OTHER)], prove=False)
    assert caught.value.code == "lock.needs-uv"
    assert "model-envelope[uv]" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "code"),
    [({"platforms": ["solaris/sparc"]}, "lock.platform"), ({"python_version": "3.12.1"}, "lock.python-version")],
)
def test_what_nothing_can_be_locked_for_is_refused(needing, given, code):
    with pytest.raises(InvalidInput) as caught:
        lock(needing(), **given)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_lock_for_another_machine_is_told_before_it_is_used_here(index, needing, tmp_path):
    index.add("fast", tag=f"cp311-abi3-manylinux_2_17_{MACHINE}")
    result = lock(needing("fast==1.0"), platforms=[str(OTHER)], prove=False, into=tmp_path / "out")
    said = []
    with pytest.raises(Exception, match="clean room") as caught:
        verify(result.path, clean=True, report=said.append)
    assert f"is for {OTHER}, and this machine is {HERE}" in caught.value.hint
    assert f"--platform {HERE}" in caught.value.hint
    assert any(f"is for {OTHER}" in event.text for event in said if isinstance(event, Note))


def test_both_forms_of_the_lock_say_the_same(index, needing, tmp_path):
    index.add("fast", "1.0+cpu", requires=["other"])
    for tag in ("py3-none-any", "cp399-cp399-win_amd64"):
        index.add("other", tag=tag)
    new = read_envelope(lock(needing("fast"), prove=False, into=tmp_path / "out").path)
    content = (new.path / NAME).read_text()
    assert parse(content.encode()) == Lock.parse(new.lock.read_bytes())
    assert 'path = "wheels/fast-1.0+cpu-py3-none-any.whl"' in content
    assert "/packages/py3/o/other/other-1.0-py3-none-any.whl" in content
    assert str(index.folder) not in content
    # Edited by hand, and the manifest written anew.
    new.lock.chmod(0o644)
    new.lock.write_bytes(new.lock.read_bytes().replace(b"other==1.0", b"other==1.1"))
    (new.path / "ledger.jsonl").unlink()
    (new.path / "MANIFEST.sha256").chmod(0o644)
    seal(new.path)
    with pytest.raises(Answered) as caught:
        verify(new.path)
    assert [problem.path for problem in caught.value.problems] == ["other==1.0", "other==1.1"]


@pytest.mark.network
def test_a_lock_for_arm_has_the_wheels_for_arm(needing, envelope, tmp_path):
    old = needing(f"numpy=={metadata.version('numpy')}")
    done = envelope("lock", old, "--platform", str(OTHER), "-o", tmp_path / "out", "--trust", "--json")
    result = json.loads(done.stdout)["result"]
    assert (result["platforms"], result["proven"]) == ([str(OTHER)], False)
    new = read_envelope(Path(result["path"]))
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    theirs = {
        value
        for pin in parse((new.path / NAME).read_bytes()).pins
        for value, name in pin.files
        if f"-{tag}-{tag}-manylinux" in name and name.endswith(f"_{MACHINE}.whl")
    }
    assert theirs
    assert all(value in new.lock.read_text() for value in theirs)
    assert f"{OTHER}" in done.stderr
