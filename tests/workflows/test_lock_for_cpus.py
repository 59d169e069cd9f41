"""Locks for machines without a graphics card: builds for CPUs from an index of their own, nothing for cards alone."""

import re
import tomllib
from dataclasses import dataclass, replace

import pytest
from handmade import make_envelope, seal
from models import dump, write_module
from wheelhouses import SimpleIndex
from wheels import make_environment

from model_envelope.dependencies import builds
from model_envelope.dependencies.resolvers import uv
from model_envelope.foundation.errors import InvalidInput, ToolFailed, Unsolvable
from model_envelope.foundation.lockfile import Lock, Pin
from model_envelope.foundation.platforms import Platform
from model_envelope.foundation.progress import Note
from model_envelope.foundation.pylock import NAME, parse
from model_envelope.runtime.reading import read_envelope, read_json
from model_envelope.store.ledger import read_ledger
from model_envelope.workflows.audit import audit
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Aim, Asked, Label, SampleFile, pack
from model_envelope.workflows.render import render
from model_envelope.workflows.verify import verify

LINUX = 'platform_system == "Linux"'
HERE = Platform.here()
every_resolver = pytest.mark.parametrize("resolver", ["uv", "pip-tools"])
pytestmark = pytest.mark.skipif(HERE.system != "linux", reason="elsewhere the usual builds are for CPUs")


@dataclass
class Indexes:
    pypi: SimpleIndex
    pytorch: SimpleIndex
    cpu: dict[str, str]


@pytest.fixture
def indexes(simple_index, monkeypatch):
    """An index whose torch is for graphics cards, as PyPI's, and one that has builds for CPUs."""
    pypi, pytorch = simple_index("pypi"), simple_index("pytorch")
    pypi.add("torch", "2.13.0", requires=["filelock", f"nvidia-cublas==13.1; {LINUX}", f"triton==3.7; {LINUX}"])
    pypi.add("torchvision", "0.28.0", requires=["torch==2.13.0"])
    pypi.add("filelock")
    pypi.add("nvidia-cublas", "13.1", requires=["cuda-toolkit"])
    pypi.add("cuda-toolkit", "13.0")
    pypi.add("triton", "3.7", requires=["setuptools"])
    pypi.add("setuptools", "80.0")
    # The index of PyTorch has more than its own packages, and newer versions of these.
    pytorch.add("filelock", "9.0")
    cpu = {
        "torch": pytorch.add("torch", "2.13.0+cpu", requires=["filelock"]),
        "torchvision": pytorch.add("torchvision", "0.28.0+cpu", requires=["torch==2.13.0"]),
    }
    pytorch.add("torch", "2.14.0+cpu")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", pypi.url)
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    monkeypatch.setenv("ENVELOPE_PYTORCH_INDEX", f"{pytorch.url}/")
    return Indexes(pypi, pytorch, cpu)


@pytest.fixture
def needing(tmp_path):
    def make(*needs):
        folder = make_envelope(tmp_path, lock=None)
        (folder / "env" / "requirements.in").write_text("".join(f"{need}\n" for need in needs))
        seal(folder)
        return folder

    return make


def versions(envelope):
    return Lock.parse(read_envelope(envelope).lock.read_bytes()).versions()


def needs(envelope):
    return (envelope / "env" / "requirements.in").read_text().splitlines()


def witness(envelope):
    return read_json(envelope / "provenance" / f"{read_ledger(envelope).sealed[-1]['provenance']}.json")


@every_resolver
def test_without_it_the_lock_is_what_the_usual_index_has(indexes, needing, resolver, tmp_path):
    result = lock(needing("torch==2.13.0"), resolver=resolver, into=tmp_path / "out", trust=True)
    assert versions(result.path).keys() >= {"nvidia-cublas", "triton", "cuda-toolkit", "setuptools"}
    assert not result.cpu
    assert "cpu" not in witness(result.path)


@every_resolver
def test_builds_for_cpus_are_locked_and_proven_at_the_same_versions(indexes, needing, resolver, tmp_path):
    said = []
    old = needing("torch==2.13.0", "torchvision==0.28.0")
    result = lock(old, cpu=True, resolver=resolver, into=tmp_path / "out", trust=True, report=said.append)
    assert result.proven
    assert result.cpu
    assert versions(result.path) == {"filelock": "1.0", "torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}
    assert needs(result.path) == ["torch==2.13.0+cpu", "torchvision==0.28.0+cpu"]
    locked = read_envelope(result.path).lock.read_text()
    assert all(value in locked for value in indexes.cpu.values())
    told = next(event.text for event in said if isinstance(event, Note) and event.text.startswith("for CPUs: "))
    assert "torch 2.13.0 -> 2.13.0+cpu; torchvision 0.28.0 -> 0.28.0+cpu; 4 left out" in told
    noted = witness(result.path)
    assert noted["cpu"] == {
        "cuda-toolkit": "13.0 -> none",
        "nvidia-cublas": "13.1 -> none",
        "setuptools": "80.0 -> none",
        "torch": "2.13.0 -> 2.13.0+cpu",
        "torchvision": "0.28.0 -> 0.28.0+cpu",
        "triton": "3.7 -> none",
    }
    reasons = {item["name"]: item["reason"] for item in noted["dropped"]}
    assert reasons["triton"].startswith("for graphics cards alone")
    assert reasons["setuptools"].startswith("only a build for graphics cards requires it")


def test_both_resolvers_give_the_same_digest(indexes, needing, tmp_path):
    old = needing("torch==2.13.0")
    digests = {
        lock(old, cpu=True, resolver=name, prove=False, into=tmp_path / name).digest for name in ("uv", "pip-tools")
    }
    assert len(digests) == 1


def test_a_mirror_leaves_no_trace(indexes, needing, tmp_path, monkeypatch):
    old = needing("torch==2.13.0")
    first = lock(old, cpu=True, prove=False, into=tmp_path / "first")
    monkeypatch.setenv("ENVELOPE_PYTORCH_INDEX", indexes.pytorch.url.replace("//", "//me:hunter2@"))
    second = lock(old, cpu=True, prove=False, into=tmp_path / "second")
    assert first.digest == second.digest
    everything = b"".join(path.read_bytes() for path in second.path.rglob("*") if path.is_file())
    assert b"hunter2" not in everything
    assert b"127.0.0.1" not in everything
    written = (second.path / NAME).read_bytes()
    assert parse(written) == Lock.parse(read_envelope(second.path).lock.read_bytes())
    addresses = {
        package["name"]: package["wheels"][0]["url"] for package in tomllib.loads(written.decode())["packages"]
    }
    assert addresses["torch"] == "https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-py3-none-any.whl"
    assert addresses["filelock"].startswith("https://files.pythonhosted.org/")


def test_an_index_of_ones_own_that_has_the_builds_will_do(indexes, needing, tmp_path, monkeypatch):
    indexes.pypi.add("torch", "2.13.0+cpu", requires=["filelock"])
    monkeypatch.setenv("ENVELOPE_PYTORCH_INDEX", "http://127.0.0.1:9/gone")
    result = lock(needing("torch==2.13.0"), cpu=True, into=tmp_path / "out", trust=True)
    assert result.proven
    assert versions(result.path) == {"filelock": "1.0", "torch": "2.13.0+cpu"}
    assert not indexes.pytorch.asked


def test_the_next_lock_is_for_cpus_too(indexes, needing, tmp_path):
    first = lock(needing("torch==2.13.0"), cpu=True, into=tmp_path / "first", trust=True)
    second = lock(first.path, into=tmp_path / "second", trust=True)
    assert second.digest == first.digest
    indexes.pypi.add("torch", "2.14.0", requires=[f"nvidia-cublas==13.1; {LINUX}"])
    third = lock(first.path, upgrade=["torch==2.14.0"], into=tmp_path / "third", trust=True)
    assert versions(third.path) == {"torch": "2.14.0+cpu"}
    assert needs(third.path) == ["torch==2.14.0+cpu"]
    with pytest.raises(InvalidInput, match="not known any more"):
        lock(first.path, cpu=False)


def test_a_lock_for_a_target_without_a_card_is_for_cpus(indexes, needing, tmp_path, monkeypatch):
    old = needing("torch==2.13.0")
    own = tmp_path / "own"
    own.mkdir()
    about = 'kind = "own"\nsummary = "x"\npackages = []\nrequirements = []\n'
    (own / "target.toml").write_text(about)
    found = lock(old, target=str(own), into=tmp_path / "out", trust=True)
    assert found.cpu
    assert versions(found.path) == {"filelock": "1.0", "torch": "2.13.0+cpu"}
    assert not lock(old, target=str(own), cpu=False, into=tmp_path / "asked", trust=True).cpu
    (own / "target.toml").write_text(f"gpu = true\n{about}")
    assert "triton" in versions(lock(old, target=str(own), into=tmp_path / "card", trust=True).path)
    (own / "target.toml").write_text(f'gpu = "no"\n{about}')
    with pytest.raises(InvalidInput, match="gpu = true"):
        lock(old, target=str(own))


def test_nothing_changes_where_nothing_is_for_cards(indexes, needing, tmp_path):
    old = needing("filelock==1.0")
    digests = {lock(old, cpu=cpu, prove=False, into=tmp_path / str(cpu)).digest for cpu in (None, True)}
    assert len(digests) == 1
    assert not indexes.pytorch.asked


@pytest.mark.skipif(not uv.Uv().available(), reason="pip-tools locks for this machine alone")
def test_where_the_usual_build_is_for_cpus_it_stays(indexes, needing, tmp_path):
    old = needing("torch==2.13.0")
    mac = lock(old, cpu=True, platforms=["macos/arm64"], prove=False, into=tmp_path / "mac")
    assert versions(mac.path) == {"filelock": "1.0", "torch": "2.13.0"}
    assert needs(mac.path) == ["torch==2.13.0"]
    both = lock(old, cpu=True, platforms=["macos/arm64", str(HERE)], prove=False, into=tmp_path / "both")
    pins = Lock.parse(read_envelope(both.path).lock.read_bytes()).pins
    assert {(pin.version, pin.marker.partition(" and ")[0]) for pin in pins if pin.name == "torch"} == {
        ("2.13.0", 'sys_platform == "darwin"'),
        ("2.13.0+cpu", 'sys_platform == "linux"'),
    }
    assert needs(both.path) == ["torch==2.13.0"]
    again = lock(lock(old, cpu=True, prove=False, into=tmp_path / "one").path, platforms=["macos/arm64"], prove=False)
    assert versions(again.path) == {"filelock": "1.0", "torch": "2.13.0"}


@every_resolver
def test_what_comes_under_another_name_takes_the_place(indexes, needing, resolver, tmp_path):
    indexes.pypi.add("xgboost", "3.0.2", requires=[f"nvidia-nccl-cu12; {LINUX}", "filelock"])
    indexes.pypi.add("nvidia-nccl-cu12")
    indexes.pypi.add("xgboost-cpu", "3.0.2", requires=["filelock"])
    indexes.pypi.add("explains", requires=["xgboost"])
    old = needing("explains==1.0", "xgboost==3.0.2")
    result = lock(old, cpu=True, resolver=resolver, into=tmp_path / "out", trust=True)
    assert versions(result.path) == {"explains": "1.0", "filelock": "1.0", "xgboost-cpu": "3.0.2"}
    assert needs(result.path) == ["explains==1.0", "xgboost-cpu==3.0.2"]
    assert witness(result.path)["cpu"]["xgboost"] == "3.0.2 -> xgboost-cpu 3.0.2"
    assert lock(result.path, resolver=resolver, into=tmp_path / "again", trust=True).digest == result.digest


def test_what_the_model_names_itself_stays(indexes, needing, tmp_path):
    indexes.pypi.add("cupy-cuda13x", requires=["nvidia-cublas"])
    result = lock(needing("cupy-cuda13x==1.0"), cpu=True, into=tmp_path / "out", trust=True)
    assert versions(result.path) == {"cupy-cuda13x": "1.0"}


def test_a_version_without_a_build_is_told(indexes, needing, tmp_path):
    indexes.pypi.add("torch", "2.12.0", requires=["nvidia-cublas"])
    with pytest.raises(Unsolvable) as caught:
        lock(needing("torch==2.12.0"), cpu=True, into=tmp_path / "out", trust=True)
    assert caught.value.code == "lock.no-cpu-build"
    assert "torch 2.12.0+cpu" in str(caught.value)
    assert "ENVELOPE_PYTORCH_INDEX" in caught.value.hint
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_an_index_that_does_not_answer_is_told(indexes, needing, tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_PYTORCH_INDEX", "http://me:hunter2@127.0.0.1:9/whl")
    with pytest.raises(ToolFailed) as caught:
        lock(needing("torch==2.13.0"), cpu=True, into=tmp_path / "out", trust=True)
    assert caught.value.code == "lock.cpu-index"
    assert "127.0.0.1:9" in caught.value.detail
    assert "hunter2" not in f"{caught.value} {caught.value.detail} {caught.value.hint}"


def test_rooms_and_audits_find_the_builds_later(indexes, needing, tmp_path):
    made = lock(needing("torch==2.13.0"), cpu=True, prove=False, into=tmp_path / "out")
    assert verify(made.path, clean=True, trust=True).clean
    asked = next(item for item in audit(made.path, advisories=[]).asked if item.question == "yanked")
    assert not asked.not_asked


@every_resolver
def test_an_environment_with_such_a_build_is_locked_as_it_is(indexes, needing, resolver, tmp_path):
    result = lock(needing("torch==2.13.0+cpu"), resolver=resolver, into=tmp_path / "out", trust=True)
    assert result.proven
    assert versions(result.path) == {"filelock": "1.0", "torch": "2.13.0+cpu"}


@every_resolver
def test_where_such_a_build_cannot_be_had_it_is_said_where_it_would_be(indexes, needing, resolver, monkeypatch):
    monkeypatch.setenv("ENVELOPE_PYTORCH_INDEX", "http://127.0.0.1:9/whl")
    with pytest.raises(Unsolvable, match=r"torch==2\.13\.0\+cpu") as caught:
        lock(needing("torch==2.13.0+cpu"), resolver=resolver, trust=True)
    assert "are on https://download.pytorch.org/whl" in caught.value.hint
    assert "ENVELOPE_PYTORCH_INDEX" in caught.value.hint


def test_a_build_of_an_image_gets_the_pages_with_the_settings_of_this_machine(indexes):
    lock = Lock((Pin("torch", "2.13.0+cpu", (indexes.cpu["torch"],)), Pin("filelock", "1.0", ("sha256:" + "a" * 64,))))
    assert builds.with_links_for(indexes.pypi.index, lock).find_links == (f"{indexes.pytorch.url}/cpu/torch/",)


def test_no_index_is_asked_where_pip_is_to_ask_none(indexes):
    offline = builds.with_published(indexes.pypi.index, {"torch": "2.13.0+cpu"})
    assert offline.published
    assert not builds.with_published(replace(indexes.pypi.index, no_index=True), {"torch": "2.13.0+cpu"}).published


@pytest.mark.network
def test_what_pytorch_itself_brings_for_cards_is_known(indexes, needing, tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_INDEX_URL")
    old = needing("torch==2.13.0")
    names = Lock.parse(read_envelope(lock(old, prove=False, into=tmp_path / "usual").path).lock.read_bytes()).versions()
    for_cards = {name for name in names if re.search("nvidia|cuda|triton", name)}
    assert len(for_cards) > 10
    result = lock(old, cpu=True, prove=False, into=tmp_path / "cpu")
    assert versions(result.path).keys() == {"filelock", "torch"}
    reasons = {item["name"]: item["reason"] for item in witness(result.path)["dropped"]}
    assert {name for name, reason in reasons.items() if reason.startswith("for graphics cards alone")} == for_cards


MODEL = """
    import torch
    import xgboost

    class Model:
        def predict(self, x: int) -> int:
            return x + len(torch.VERSION[:1]) + len(xgboost.__name__)
"""


@pytest.fixture
def on_a_card(indexes, tmp_path):
    """A pickled model, its samples, and the Python of an environment whose packages are for graphics cards."""
    indexes.pypi.add("xgboost", "3.0.2", requires=[f"nvidia-nccl-cu12; {LINUX}"])
    indexes.pypi.add("nvidia-nccl-cu12")
    python = make_environment(tmp_path / "env", sorted(indexes.pypi.folder.glob("*.whl")))
    for noted in (tmp_path / "env").glob("lib/*/site-packages/*/direct_url.json"):
        # All came from the index, but for torch: that was installed from a file.
        if not noted.parent.name.startswith("torch-"):
            noted.unlink()
    indexes.pypi.add("xgboost-cpu", "3.0.2", files={"xgboost.py": "VERSION = '3.0.2'\n"})
    write_module(tmp_path, "model_of_test", MODEL)
    dump(tmp_path, "model_of_test.Model()", "model.pkl", python)
    (tmp_path / "x.json").write_text('{"x": 1}')

    def packed(name, **options):
        samples = SampleFile(tmp_path / "x.json", "x.json")
        into = tmp_path / name
        return pack(
            tmp_path / "model.pkl", samples=samples, label=Label("small"), python=str(python), into=into, **options
        )

    return packed


def test_a_model_of_a_machine_with_a_card_is_packed_for_cpus(on_a_card, tmp_path):
    result = on_a_card("out", cpu=True)
    assert result.proven
    assert versions(result.path) == {"filelock": "1.0", "torch": "2.13.0+cpu", "xgboost-cpu": "3.0.2"}
    assert not (result.path / "env" / "wheels").exists(), "the build for cards stays behind"
    assert needs(result.path) == ["torch==2.13.0+cpu", "xgboost-cpu==3.0.2"]
    assert [(item.name, item.version) for item in result.kept] == [("torch", "2.13.0+cpu"), ("xgboost-cpu", "3.0.2")]
    noted = witness(result.path)
    assert noted["cpu"]["torch"] == "2.13.0 -> 2.13.0+cpu"
    assert {item["name"]: item["requires"] for item in noted["packages"]}["torch"] == ["filelock"]
    assert "for graphics cards alone" in {item["name"]: item["reason"] for item in noted["dropped"]}["nvidia-nccl-cu12"]
    assert lock(result.path, into=tmp_path / "again").digest == result.digest


def test_what_is_to_be_kept_stays_for_cards(on_a_card):
    result = on_a_card("out", cpu=True, asked=Asked(keep=("xgboost", "nvidia-nccl-cu12")), prove=False)
    assert versions(result.path) == {
        "filelock": "1.0",
        "nvidia-nccl-cu12": "1.0",
        "torch": "2.13.0+cpu",
        "xgboost": "3.0.2",
    }


def test_a_model_packed_without_a_lock_gets_one_for_cpus_later(on_a_card, tmp_path):
    unlocked = on_a_card("unlocked", cpu=True, lock=False)
    assert "torch" in versions(lock(unlocked.path, into=tmp_path / "locked").path)
    assert "triton" not in versions(lock(unlocked.path, into=tmp_path / "once-more").path)


def test_rendering_says_how_much_is_for_cards_alone(on_a_card, tmp_path):
    for_cards, for_cpus = on_a_card("cards", prove=False), on_a_card("cpus", cpu=True)
    said = []
    render(for_cards.path, into=tmp_path / "contexts", report=said.append)
    (note,) = (event.text for event in said if isinstance(event, Note))
    assert note.startswith("4 of 8 packages, ")
    assert f"`envelope lock {for_cards.path} --cpu` gives an envelope without them" in note
    said.clear()
    render(for_cpus.path, into=tmp_path / "contexts", report=said.append)
    assert not [event for event in said if isinstance(event, Note)]


def test_a_lock_of_a_conda_environment_is_refused(on_a_card):
    with pytest.raises(InvalidInput, match="--cpu"):
        on_a_card("out", cpu=True, resolver="conda-lock", aim=Aim())


def test_builds_of_the_environment_are_looked_for_where_the_model_needs_them(indexes, tmp_path):
    indexes.pypi.add("explains", requires=["torch"])
    indexes.pypi.add("plain")
    wheels = [next(indexes.pypi.folder.glob(f"{name}-*")) for name in ("explains", "plain", "filelock")]
    python = make_environment(tmp_path / "env", [*wheels, next(indexes.pytorch.folder.glob("torch-2.13*"))])
    for noted in (tmp_path / "env").glob("lib/*/site-packages/*/direct_url.json"):
        noted.unlink()
    (tmp_path / "x.json").write_text('{"x": 1}')

    def packed(module):
        write_module(
            tmp_path, f"uses_{module}", f"import {module}\nclass Model:\n    def predict(self, x: int): return x"
        )
        dump(tmp_path, f"uses_{module}.Model()", f"{module}.pkl", python)
        samples = SampleFile(tmp_path / "x.json", "x.json")
        return pack(tmp_path / f"{module}.pkl", samples=samples, python=str(python), into=tmp_path / "out").path

    assert versions(packed("plain")) == {"plain": "1.0"}
    assert not indexes.pytorch.asked
    assert versions(packed("explains")) == {"explains": "1.0", "filelock": "1.0", "torch": "2.13.0+cpu"}
