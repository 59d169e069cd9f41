"""What comes after a first conda lock, for real: upgraded, proven, for several platforms, turned to pip and back."""

import json
import os
import re
import shutil

import pytest
from conda_machine import list_wheels, packed, read, wheel

from model_envelope.foundation.errors import InvalidInput, Unsolvable
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note
from model_envelope.foundation.pylock import read_lock
from model_envelope.runtime.errors import AnswersDiffer, ModelFailed
from model_envelope.runtime.manifest import compare
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows import conda
from model_envelope.workflows import verify as verifying
from model_envelope.workflows.audit import audit
from model_envelope.workflows.cache import cache
from model_envelope.workflows.fitting import misfit
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Asked
from model_envelope.workflows.provenance import read_provenance
from model_envelope.workflows.show import show
from model_envelope.workflows.verify import verify

pytestmark = pytest.mark.slow

WIDGET = "def turn(value):\n    return value * {factor}\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def pypi(here):
    """Let the index have all that the model needs, and something newer."""
    simple = here.wheels / "simple"
    before = set(simple.iterdir())
    gadget = (here.site / "gadget.py").read_text()
    for name, version, text, requires in (
        ("gadget", "3.0", gadget, ["Widget>=1", "tacked"]),
        ("widget", "1.0", WIDGET.format(factor=2), []),
        ("widget", "1.1", WIDGET.format(factor=3), []),
        ("tacked", "0.6", "OFFSET = 0.25\nNEWER = True\n", []),
    ):
        (simple / name).mkdir(exist_ok=True)
        wheel(simple / name, name, version, text, requires)
        list_wheels(simple / name)
    yield here
    for folder in set(simple.iterdir()) - before:
        shutil.rmtree(folder)
    (simple / "tacked" / "tacked-0.6-py3-none-any.whl").unlink()
    list_wheels(simple / "tacked")


def versions(path):
    files = read_envelope(path)
    return read(path).versions() if files.conda_lock.is_file() else read_lock(path).versions()


def texts(events):
    return [event.text for event in events if isinstance(event, Note)]


def test_back_to_pip_and_to_conda_again(pypi, tmp_path):
    first = packed(pypi, tmp_path, platforms=["linux-64", "osx-arm64"])
    pip = lock(first.path, resolver="auto", python=pypi.python)
    assert pip.proven
    files = read_envelope(pip.path)
    assert not compare(files.path)
    assert not files.conda_lock.exists()
    assert sorted(path.name for path in (pip.path / "env").iterdir()) == [
        "pylock.toml",
        "requirements.in",
        "requirements.lock",
    ]
    assert versions(pip.path) == {"gadget": "3.0", "tacked": "0.5", "widget": "1.0"}
    assert files.description.platforms == ()
    assert verify(pip.path, clean=True).clean[0].agrees
    assert "conda" in read_provenance(files), "the environment that packed it is still known"
    again = lock(pip.path, resolver="conda-lock", platforms=["linux/amd64", "macos/arm64"], into=tmp_path / "again")
    assert again.proven
    assert again.previous == pip.digest
    assert sorted(path.name for path in (again.path / "env").iterdir()) == ["conda-lock.yml", "requirements.in"]
    assert again.digest == first.digest, "the same content gives the same digest"


def test_a_pip_envelope_that_was_packed_in_conda_becomes_one_of_conda(pypi, tmp_path):
    first = packed(pypi, tmp_path, resolver="auto")
    assert first.proven
    assert versions(first.path)["widget"] == "1.0"
    result = lock(first.path, resolver="conda-lock")
    assert result.proven
    assert versions(result.path) == versions(first.path)
    assert not read_envelope(result.path).lock.exists()


def test_a_lock_of_several_platforms_says_so_everywhere(here, tmp_path):
    both = packed(here, tmp_path, platforms=["osx-arm64", "linux-64"])
    files = read_envelope(both.path)
    assert files.description.platforms == ("linux-x86_64", "macosx-11.0-arm64")
    assert files.description.platform == "linux-x86_64"
    assert show(both.path).platform == "linux-x86_64, macosx-11.0-arm64"
    assert misfit(files, Platform("macos", "arm64")) == ""
    assert misfit(files, Platform("linux", "arm64")) == (
        f"the lock of {both.path.name} is for linux/amd64 and macos/arm64, and this machine is linux/arm64; "
        f"`envelope lock {both.path.name} --resolver conda-lock --platform linux/arm64` makes an envelope for it"
    )
    other = lock(both.path, resolver="conda-lock", platforms=["osx-arm64"])
    assert not other.proven
    assert other.platforms == ("macos/arm64",)
    about = read_envelope(other.path).description
    assert (about.platform, about.platforms) == ("macosx-11.0-arm64", ())
    said = []
    with pytest.raises(InvalidInput) as caught:
        verify(other.path, clean=True, report=said.append)
    assert caught.value.code == "room.other-platform"
    assert any("is for macos/arm64, and this machine is linux/amd64" in text for text in texts(said))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"python_version": "3.12"}, "`--python-version` does not go"),
        ({"target": "service"}, "`--for` does not go"),
        ({"target": "service", "python_version": "3.12"}, "`--python-version` and `--for` do not go"),
    ],
)
def test_what_a_conda_lock_cannot_follow_is_refused(here, tmp_path, options, named):
    path = packed(here, tmp_path, lock=False).path
    with pytest.raises(InvalidInput) as caught:
        lock(path, resolver="conda-lock", **options)
    assert caught.value.code == "lock.conda-options"
    assert named in caught.value.message
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_packages_of_conda_and_of_pip_are_upgraded_and_stay_so(pypi, tmp_path):
    first = packed(pypi, tmp_path)
    upgraded = lock(first.path, resolver="conda-lock", upgrade=["tacked"])
    assert upgraded.proven
    assert versions(upgraded.path) == {"gadget": "3.0", "tacked": "0.6", "widget": "1.0"}
    assert read_provenance(read_envelope(upgraded.path))["upgraded"] == {"tacked": "0.5 -> 0.6"}
    # The answers are other ones with the newer widget, which the proof finds out.
    with pytest.raises(AnswersDiffer):
        lock(upgraded.path, resolver="conda-lock", upgrade=["widget==1.1"])
    newer = lock(upgraded.path, resolver="conda-lock", upgrade=["widget"], prove=False)
    assert versions(newer.path) == {"gadget": "3.0", "tacked": "0.6", "widget": "1.1"}
    assert "proof" not in read_provenance(read_envelope(newer.path)), "the one before was proven, this one is not"
    both = lock(newer.path, resolver="conda-lock", platforms=["linux-64", "osx-arm64"], prove=False)
    assert versions(both.path) == versions(newer.path)
    back = lock(newer.path, resolver="auto", prove=False)
    assert versions(back.path) == versions(newer.path)
    again = lock(back.path, resolver="conda-lock", prove=False, into=tmp_path / "again")
    assert versions(again.path) == versions(newer.path)


def test_a_direct_need_is_upgraded_where_it_is_asked_for(pypi, tmp_path):
    source = """
        import widget

        class Gadget:
            def predict(self, values: list[float]) -> list[float]:
                return [widget.turn(value) for value in values]
    """
    first = packed(pypi, tmp_path, source=source)
    assert (first.path / "env" / "requirements.in").read_text() == "widget==1.0\n"
    result = lock(first.path, resolver="conda-lock", upgrade=["widget"], prove=False)
    assert (result.path / "env" / "requirements.in").read_text() == "widget==1.1\n"
    with pytest.raises(InvalidInput) as caught:
        lock(first.path, resolver="conda-lock", upgrade=["nothing-of-the-kind"])
    assert caught.value.code == "lock.upgrade"
    with pytest.raises(Unsolvable):
        lock(first.path, resolver="conda-lock", upgrade=["widget==7.7"])


STARTS = """
    import subprocess, sys

    class Gadget:
        def predict(self, values: list[float]) -> list[float]:
            done = subprocess.run([sys.executable, "-c", "import un" + "used"], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            return values
"""


def test_what_the_clean_room_lacks_is_added_to_a_conda_lock_too(here, tmp_path):
    said = []
    result = packed(here, tmp_path, source=STARTS, report=said.append)
    assert result.proven
    assert result.mended == ("unused",)
    assert "unused" in versions(result.path)
    assert (result.path / "env" / "requirements.in").read_text() == "unused==1.0\n"
    failed = "`import unused` failed in the clean room"
    assert f"{failed}: unused 1.0 is added from this environment" in texts(said)
    assert read_provenance(read_envelope(result.path))["proof"]["mended"] == {"unused": f"proof: {failed}"}


def test_what_is_dropped_is_not_added(here, tmp_path):
    with pytest.raises(ModelFailed) as caught:
        packed(here, tmp_path, source=STARTS, asked=Asked(drop=("unused",)))
    assert "`unused` was left out (asked for: --drop)" in caught.value.hint


def test_minimal_takes_away_what_the_model_answers_without(here, tmp_path):
    source = """
        import widget

        class Gadget:
            def predict(self, values: list[float]) -> list[float]:
                return [widget.turn(value) for value in values]

            def explain(self):
                import unused

                return unused.X
    """
    plain = packed(here, tmp_path / "plain", source=source)
    assert {"unused", "widget"} <= versions(plain.path).keys()
    less = packed(here, tmp_path / "less", source=source, minimal=True)
    assert less.proven
    assert set(versions(less.path)) == {"widget"}
    assert len(cache().rooms) == 2, "what was tried and did not do leaves no room behind"


ROUNDS = """
    import sys

    class Gadget:
        def predict(self, values: list[float]) -> complex:
            return complex(values[0], 0.3 if "rooms" in sys.prefix else 0.1 + 0.2)
"""


def on_another_machine(monkeypatch, module):
    plain = module.read_provenance

    def elsewhere(files):
        found = plain(files)
        return {**found, "machine": {**found["machine"], "cpu": "x86_64 Old CPU"}}

    monkeypatch.setattr(module, "read_provenance", elsewhere)


def test_last_bits_are_judged_as_in_rooms_of_pip(here, tmp_path, monkeypatch):
    with pytest.raises(AnswersDiffer) as caught:
        packed(here, tmp_path, source=ROUNDS)
    assert caught.value.code == "replay.last-bits"
    path = packed(here, tmp_path, source=ROUNDS, prove=False).path
    assert verify(path, clean=True).objection().code == "replay.last-bits"
    with pytest.raises(AnswersDiffer):
        lock(path, resolver="conda-lock")
    on_another_machine(monkeypatch, verifying)
    said = []
    result = verify(path, clean=True, report=said.append)
    assert result.objection() is None
    assert result.clean[0].rounded
    assert any("counts as the same on another machine: the CPU is" in text for text in texts(said))
    on_another_machine(monkeypatch, conda)
    again = lock(path, resolver="conda-lock", into=tmp_path / "again")
    assert again.proven
    proof = read_provenance(read_envelope(again.path))["proof"]
    assert proof["rounded"] == ["predict"]
    assert proof["machine"]["cpu"]


def test_a_room_that_was_changed_unnoticed_is_mended_before_its_answer_counts(here, tmp_path):
    path = packed(here, tmp_path).path
    (room,) = cache().rooms
    (module,) = room.folder.glob("*/environment/lib/*/site-packages/widget.py")
    before, text = module.stat(), module.read_text()
    module.unlink()
    module.write_text(text.replace("* 2", "* 9"))
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    for cached in (module.parent / "__pycache__").glob("widget*"):
        cached.unlink()
    said = []
    assert verify(path, clean=True, report=said.append).objection() is None
    assert any("the clean room in the cache was changed" in text for text in texts(said))


def test_the_cache_names_rooms_of_conda(here, envelope, tmp_path):
    path = packed(here, tmp_path).path
    done = envelope("cache")
    assert re.search(r"6 packages, python \S+ on linux-64 \(conda\)  gadget\n", done.stdout), done.stdout
    (room,) = json.loads(envelope("cache", "--json").stdout)["result"]["rooms"]
    assert room["kind"] == "conda"
    assert "removed 1 clean room" in envelope("cache", "--clear").stdout
    assert verify(path, clean=True).clean[0].agrees


def test_an_audit_says_that_it_knows_nothing_of_packages_of_conda(here, tmp_path):
    path = packed(here, tmp_path, prove=False).path
    with pytest.raises(InvalidInput) as caught:
        audit(path, offline=True)
    assert caught.value.code == "audit.conda-lock"
    assert "--resolver auto" in caught.value.hint
