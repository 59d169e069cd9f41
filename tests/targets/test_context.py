import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from handmade import make_envelope, seal

from model_envelope.foundation.conda_lock import CondaLock, CondaPackage
from model_envelope.foundation.errors import InvalidInput, Refused, Unsolvable
from model_envelope.foundation.libraries import Libraries, Library
from model_envelope.foundation.lockfile import Lock
from model_envelope.runtime import manifest
from model_envelope.runtime.origin import Origin, origin_of
from model_envelope.runtime.reading import read_envelope
from model_envelope.store.ledger import LedgerWriter
from model_envelope.targets.archive import EPOCH
from model_envelope.targets.context import Install, merged_lock, render_context
from model_envelope.targets.target import all_targets, find_target

PACKAGE = Path(sys.modules["model_envelope"].__file__).parent
BASE = "example.com/bases/python:3.11"


JOBS = [target.kind for target in all_targets() if target.makes_image and not target.serves]


def render(envelope: Path, into: Path, *, target: str = "service", **options):
    return render_context(read_envelope(envelope), find_target(target), into, **{"base_image": BASE, **options})


def unpacked(context: Path, into: Path, *layers: str) -> Path:
    """What layers of a context put into an image."""
    for layer in layers:
        with tarfile.open(context / "layers" / f"{layer}.tar") as archive:
            # Not every Python 3.11 has filters; later ones warn where none is named.
            archive.extractall(into, **({"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}))
    return into


def facts(folder: Path) -> dict[str, tuple]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = (oct(status.st_mode), status.st_mtime, content)
    return found


def test_the_same_envelope_gives_the_same_context_anywhere(scorer, tmp_path):
    found = []
    for umask, place in ((0o077, "one"), (0o002, "two/deeper")):
        before = os.umask(umask)
        try:
            found.append(facts(render(scorer, tmp_path / place).path))
        finally:
            os.umask(before)
    assert found[0] == found[1]


def test_what_is_outside_the_manifest_stays_behind(scorer, tmp_path):
    before = facts(render(scorer, tmp_path / "one").path)
    (scorer / "ledger.jsonl").write_text("{}\n")
    (scorer / "provenance").mkdir()
    (scorer / "provenance" / "a.json").write_text('{"user": "me"}')
    assert facts(render(scorer, tmp_path / "two").path) == before


def test_of_its_provenance_an_image_tells_the_commit_alone(scorer, tmp_path):
    noted = {
        "author": "max",
        "git": {"commit": "c0ffee" * 6 + "c0ff", "remote": "https://max:pass@host/x", "dirty": "x"},
    }
    content = json.dumps(noted).encode()
    name = hashlib.sha256(content).hexdigest()
    (scorer / "provenance").mkdir()
    (scorer / "provenance" / f"{name}.json").write_bytes(content)
    LedgerWriter(scorer).append("sealed", digest="", provenance=name)
    context = render(scorer, tmp_path / "out").path
    carried = unpacked(context, tmp_path / "image", "code", "model") / "opt/model/envelope"
    assert origin_of(carried) == origin_of(scorer) == Origin("c0ffee" * 6 + "c0ff", dirty=True)
    dockerfile = (context / "Dockerfile").read_text()
    assert 'org.opencontainers.image.revision="c0ffee' in dockerfile
    assert 'org.opencontainers.image.source="https://host/x"' in dockerfile
    assert "max" not in dockerfile
    assert not manifest.compare(carried), "it is as it was sealed"
    everything = b"".join(path.read_bytes() for path in carried.rglob("*") if path.is_file())
    assert b"max" not in everything
    assert sorted(path.name for path in (carried / "provenance").iterdir()) == ["commit.json"]


def without_versions(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    return re.sub(r'((?:modelenvelope|image)\.version=")[^"]+', r"\1VERSION", text)


@pytest.mark.parametrize("install", Install)
def test_the_dockerfile(tmp_path, golden, install):
    envelope = make_envelope(tmp_path, python="3.11")
    context = render(envelope, tmp_path / "out", install=install)
    text = (context.path / "Dockerfile").read_text()
    text = without_versions(text)
    golden(f"Dockerfile.{install.value}", text)


@pytest.mark.parametrize("install", Install)
@pytest.mark.parametrize("target", JOBS)
def test_the_dockerfile_of_a_job_differs_where_it_has_to_alone(tmp_path, golden, target, install):
    envelope = make_envelope(tmp_path, python="3.11")
    text = without_versions(
        (render(envelope, tmp_path / "out", target=target, install=install).path / "Dockerfile").read_text()
    )
    service = without_versions((render(envelope, tmp_path / "out", install=install).path / "Dockerfile").read_text())
    golden(f"{target}.{install.value}.diff", "".join(difflib.unified_diff(*lines(service, text), n=0)))


def lines(*texts: str) -> list[list[str]]:
    return [text.splitlines(keepends=True) for text in texts]


@pytest.mark.parametrize("target", JOBS)
def test_a_job_carries_what_scores_and_starts_it(scorer, tmp_path, target):
    context = render(scorer, tmp_path / "out", target=target).path
    carried = unpacked(context, tmp_path / "image", "scoring") / "opt/model/lib/model_envelope"
    assert sorted(path.name for path in carried.iterdir()) == ["__init__.py", "runtime", "scoring"]
    text = (context / "Dockerfile").read_text()
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)$", text, flags=re.MULTILINE)[1])
    assert entry[:4] == ["/opt/venv/bin/python", "-m", "model_envelope.scoring", "/opt/model/envelope"]
    assert entry[4:] == (["--engine", "spark"] if target == "spark" else [])
    assert "HEALTHCHECK NONE\n" in text
    assert "STOPSIGNAL SIGTERM\n" in text
    assert "EXPOSE" not in text


def test_java_comes_from_the_base_images_debian_where_it_lacks_one(for_conda, tmp_path):
    envelope = make_envelope(tmp_path / "plain")
    (envelope / "env" / "system.json").write_bytes(LIBRARIES.to_bytes())
    seal(envelope)
    plain = (render(envelope, tmp_path / "plain", target="spark").path / "Dockerfile").read_text()
    wanted = ("libgomp.so.1=libgomp1", "libgthread-2.0.so.0=libglib2.0-0", "libnss_wrapper.so=libnss-wrapper")
    libraries = "".join(f"    {word} \\\n" for word in wanted)
    assert f"--into /system \\\n{libraries}    --program java=default-jre-headless\n" in plain
    assert plain.count("COPY --from=system /system/ /\n") == 1
    # With a conda lock the base image may have no Python at all.
    conda = (render(for_conda, tmp_path / "conda", target="spark").path / "Dockerfile").read_text()
    assert "from=builder,source=/packages/opt/venv,target=/opt/venv" in conda
    assert "/opt/venv/bin/python3 -m model_envelope.assembling system" in conda


@pytest.mark.parametrize(
    "more",
    [
        '[image]\ncode = "a b"\n',
        '[image.programs]\njava = "x; evil"\n',
        "[image]\nnothing = 1\n",
        "[image]\nport = 80\ncode = 3\n",
    ],
)
def test_facts_that_cannot_stand_in_a_dockerfile_are_refused(tmp_path, more):
    (tmp_path / "target.toml").write_text(f'kind = "own"\nsummary = "x"\npackages = []\nrequirements = []\n{more}')
    with pytest.raises(InvalidInput) as caught:
        find_target(str(tmp_path))
    assert caught.value.code == "target.malformed"


@pytest.fixture
def for_conda(tmp_path):
    """An envelope with a conda lock in the place of one for pip."""
    envelope = make_envelope(tmp_path, python="3.11", lock=None)
    (envelope / "env" / "conda-lock.yml").write_bytes(CONDA.to_bytes())
    seal(envelope)
    return envelope


def conda_package(name, version, platform="linux-64", manager="conda"):
    url = f"https://conda.anaconda.org/conda-forge/{platform}/{name}-{version}-0.conda"
    return CondaPackage(manager, name, platform, version, url, md5="a" * 32, sha256="b" * 64)


CONDA = CondaLock(
    ("https://conda.anaconda.org/conda-forge",),
    (
        conda_package("python", "3.11.9"),
        conda_package("python", "3.11.9", "osx-arm64"),
        conda_package("pytorch", "2.1.0"),
        conda_package("python-uvicorn", "0.40.0"),
        conda_package("python-tzdata", "2024a"),
        conda_package("tacked", "0.5", manager="pip"),
    ),
    {"torch": "pytorch", "uvicorn": "python-uvicorn", "tzdata": "python-tzdata"},
)


def test_what_mamba_notes_of_credentials_is_taken_out_of_the_image(for_conda, tmp_path):
    text = (render(for_conda, tmp_path / "out").path / "Dockerfile").read_text()
    code = next(line for line in text.splitlines() if "conda-meta" in line and "python -I -S -c" in line)
    records = tmp_path / "conda-meta"
    records.mkdir()
    (records / "one-1.0-0.json").write_text(
        '{"channel": "https://me:hunter2@repo.example.com/team", "url": "https://me:hunter2@repo.example.com/team/a.conda"'
        ', "home": "https://a.b/c", "files": ["share/t/x/y", "a@b"]}'
    )
    (records / "two-1.0-0.json").write_text('{"url": "https://conda.anaconda.org/t/tk-1-2/team/noarch/b.conda"}')
    script = code.strip().replace("/opt/venv/bin/python", sys.executable).replace("/opt/venv/conda-meta", str(records))
    subprocess.run(["sh", "-c", script], check=True)
    assert (records / "one-1.0-0.json").read_text() == (
        '{"channel": "https://repo.example.com/team", "url": "https://repo.example.com/team/a.conda"'
        ', "home": "https://a.b/c", "files": ["share/t/x/y", "a@b"]}'
    )
    assert (records / "two-1.0-0.json").read_text() == '{"url": "https://conda.anaconda.org/team/noarch/b.conda"}'


def test_the_dockerfile_of_a_conda_lock(for_conda, tmp_path, golden):
    context = render(for_conda, tmp_path / "out", base_image="debian:stable-slim", micromamba_image="mamba/mamba:2")
    text = (context.path / "Dockerfile").read_text()
    text = without_versions(text)
    golden("Dockerfile.conda", text)
    golden("conda-lock.yml", (context.path / "conda-lock.yml").read_text())


def test_what_conda_provides_is_not_installed_once_more(for_conda, tmp_path):
    lock = Lock.parse(render(for_conda, tmp_path / "out").lock)
    names = lock.versions()
    assert names["tacked"] == "0.5"
    assert "starlette" in names
    assert not {"torch", "uvicorn", "tzdata", "python"} & names.keys()


def test_a_conda_package_that_the_target_cannot_live_with_is_told(for_conda, tmp_path):
    text = CONDA.to_bytes().replace(b"0.40.0", b"0.12.0")
    (for_conda / "env" / "conda-lock.yml").write_bytes(text)
    seal(for_conda)
    with pytest.raises(Unsolvable) as caught:
        render(for_conda, tmp_path / "out")
    assert caught.value.code == "target.clash"
    assert [problem.path for problem in caught.value.problems] == ["uvicorn"]


def test_a_conda_lock_for_no_linux_gives_no_image(for_conda, tmp_path):
    lock = CondaLock(CONDA.channels, CONDA.of("osx-arm64"))
    (for_conda / "env" / "conda-lock.yml").write_bytes(lock.to_bytes())
    seal(for_conda)
    with pytest.raises(InvalidInput) as caught:
        render(for_conda, tmp_path / "out")
    assert caught.value.code == "target.conda-platform"


LIBRARIES = Libraries.of(
    [
        Library("libgomp.so.1", "libgomp1", ("lightgbm/lib/lib_lightgbm.so",)),
        Library("libgthread-2.0.so.0", "libglib2.0-0", ("cv2/cv2.so",)),
        Library("libodd.so.7", "", ("odd/a.so",)),
    ]
)


@pytest.fixture
def needy(scorer):
    """An envelope whose packages need libraries of the system."""
    (scorer / "env" / "system.json").write_bytes(LIBRARIES.to_bytes())
    seal(scorer)
    return scorer


@pytest.mark.parametrize("install", Install)
def test_libraries_of_the_system_are_installed_before_anything_is_copied(needy, tmp_path, golden, install):
    text = (render(needy, tmp_path / "out", install=install).path / "Dockerfile").read_text()
    step, _, last = text.partition("\nFROM ${BASE_IMAGE}\n")
    assert last.index("COPY --from=system /system/ /\n") < last.index("COPY --from=builder /packages/ /\n")
    golden(f"libraries.{install.value}", step[step.index("# Libraries that") :])


def test_without_libraries_of_the_system_there_is_no_step_for_them(scorer, tmp_path):
    assert "assembling system" not in (render(scorer, tmp_path / "out").path / "Dockerfile").read_text()


def test_a_list_of_libraries_that_could_run_something_is_refused(scorer, tmp_path):
    (scorer / "env" / "system.json").write_text('{"libraries": [{"soname": "libx.so; evil", "package": "libx1"}]}')
    seal(scorer)
    with pytest.raises(InvalidInput) as caught:
        render(scorer, tmp_path / "out")
    assert caught.value.code == "libraries.malformed"


def test_the_context_holds_the_envelope_the_lock_and_the_runtime_and_nothing_else(scorer, tmp_path):
    context = render(scorer, tmp_path / "out")
    assert context.path.name == f"scorer-{read_envelope(scorer).short_digest}-service"
    assert sorted(path.name for path in context.path.iterdir()) == [
        "Dockerfile",
        "assemble",
        "layers",
        "requirements.lock",
    ]
    assert (context.path / "requirements.lock").read_bytes() == context.lock
    assert "starlette" in {pin.name for pin in Lock.parse(context.lock).pins}
    image = unpacked(context.path, tmp_path / "image", "serving", "code", "model")
    assert not manifest.compare(image / "opt/model/envelope")
    for carried, subpackages in (
        (image / "opt/model/lib/model_envelope", ["runtime", "serving"]),
        (context.path / "assemble" / "model_envelope", ["assembling"]),
    ):
        assert sorted(path.name for path in carried.iterdir()) == ["__init__.py", *subpackages]
        for path in carried.rglob("*"):
            if path.is_file():
                assert path.read_bytes() == (PACKAGE / path.relative_to(carried)).read_bytes()
    assert not list(context.path.rglob("__pycache__"))
    assert not list(image.rglob("__pycache__"))


def test_a_new_model_changes_its_own_layer_alone(tmp_path):
    first = make_envelope(tmp_path / "first")
    second = make_envelope(tmp_path / "second")
    (second / "model" / "weights.bin").write_bytes(b"other")
    (second / "attachments").mkdir()
    (second / "attachments" / "card.md").write_text("# Card\n")
    seal(second)
    one, two = (render(envelope, tmp_path / "out").path for envelope in (first, second))
    changed = [name for name, fact in facts(one).items() if facts(two).get(name) != fact]
    # In the Dockerfile it is the labels, which make no layer.
    assert sorted(changed) == ["Dockerfile", "layers/model.tar"]


def test_layers_have_one_time_one_owner_and_modes_that_anybody_can_read(scorer, tmp_path):
    context = render(scorer, tmp_path / "out").path
    for path in sorted((context / "layers").iterdir()):
        with tarfile.open(path) as archive:
            entries = archive.getmembers()
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(EPOCH, 0, 0, "")}
        assert {entry.mode for entry in entries if entry.isdir()} == {0o755}
        assert {entry.mode for entry in entries if entry.isfile()} == {0o644}
        names = [entry.name for entry in entries]
        assert names == sorted(names, key=str.encode)
        assert "opt" in names


def test_an_envelope_without_a_lock_says_how_to_get_one(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        render(make_envelope(tmp_path, lock=None), tmp_path / "out")
    assert caught.value.code == "envelope.not-locked"
    assert "envelope lock" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"base_image": "python:3.11\nRUN evil"},
        {"base_image": ""},
        {"base_image": 'x" y'},
    ],
)
def test_what_could_begin_another_instruction_is_refused(scorer, tmp_path, options):
    with pytest.raises(InvalidInput) as caught:
        render(scorer, tmp_path / "out", **options)
    assert caught.value.code == "target.name"


def test_files_of_any_name_get_into_the_image(scorer, tmp_path):
    (scorer / "attachments").mkdir()
    (scorer / "attachments" / "a file with spaces, ümlauts and $HOME.md").write_text("x")
    seal(scorer)
    context = render(scorer, tmp_path / "out").path
    assert not manifest.compare(unpacked(context, tmp_path / "image", "code", "model") / "opt/model/envelope")


def test_a_folder_that_is_there_is_left_alone(scorer, tmp_path):
    context = render(scorer, tmp_path)
    with pytest.raises(Refused):
        render(scorer, tmp_path)
    assert (context.path / "Dockerfile").is_file()
    assert not list(tmp_path.glob(".context-*"))


def test_the_lock_of_a_local_service_is_that_of_the_image(scorer, tmp_path):
    assert merged_lock(read_envelope(scorer), find_target("service")) == render(scorer, tmp_path).lock
