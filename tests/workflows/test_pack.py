import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from models import dump, run, shop, write_module

from model_envelope.foundation.errors import InvalidInput, InvalidPickle, Refused, Unsolvable
from model_envelope.foundation.progress import Done, Note
from model_envelope.runtime.errors import AnswersDiffer, InvalidSignature, ModelFailed
from model_envelope.runtime.reading import read_envelope
from model_envelope.store.ledger import read_ledger
from model_envelope.workflows.lock import lock
from model_envelope.workflows.pack import Label, SampleFile, pack

COMMAND = Path(sys.executable).with_name("envelope")
BOOST = """
    import lightgbm

    class Boost:
        def predict(self, x: float) -> float:
            return x
"""


def packed(model, into, **options):
    samples = options.pop("samples", model.with_name("samples.json"))
    options = {"lock": False, "label": Label(name="shop"), **options}
    return pack(model, samples=SampleFile(samples, samples.name), into=into, **options)


def test_an_envelope_holds_everything_that_the_model_needs(tmp_path):
    result = packed(
        shop(tmp_path / "src"),
        tmp_path / "out",
        methods=["predict", "explain"],
        label=Label("shop", "Prices baskets", {"stage": "canary"}, {"mae": 0.1}, {"factor": 1.5}),
        samples=_keyed(tmp_path),
    )
    envelope = read_envelope(result.path)
    assert sorted(path.relative_to(result.path).as_posix() for path in result.path.rglob("*.*")) == [
        "MANIFEST.sha256",
        "code/prices.py",
        "code/shop.py",
        "env/requirements.in",
        "envelope.json",
        "ledger.jsonl",
        "model/model.pkl",
        "observations.json",
        *[f"provenance/{path.name}" for path in (result.path / "provenance").iterdir()],
        "samples/explain.input.json",
        "samples/explain.output.json",
        "samples/predict.input.json",
        "samples/predict.output.json",
        "signature.json",
    ]
    assert [sample.answer for sample in envelope.samples] == [13.5, {"ham": 3.0, "cheese": 6.0}]
    assert envelope.description.hyperparameters == {"factor": 1.5}
    assert read_ledger(result.path).tags == {"stage": "canary"}
    assert read_ledger(result.path).metrics == {"mae": 0.1}
    assert (result.path / "env" / "requirements.in").read_bytes() == b""


def _keyed(folder):
    path = folder / "basket.json"
    path.write_text(json.dumps({"items": ["ham", "cheese"]}))
    return path


def test_the_defaults_of_a_method_are_kept(tmp_path):
    envelope = read_envelope(packed(shop(tmp_path), tmp_path / "out").path)
    assert [(item.name, item.required, item.default) for item in envelope.signature.methods["predict"].parameters] == [
        ("items", True, None),
        ("discount", False, 0.0),
    ]


def test_who_when_and_why_is_provenance(tmp_path):
    result = packed(shop(tmp_path), tmp_path / "out")
    (path,) = (result.path / "provenance").iterdir()
    witness = json.loads(path.read_text())
    assert witness["local"] == ["prices", "shop"]
    assert witness["proven"] is False
    assert witness["installed"]["typer"]
    assert {item["name"] for item in witness["dropped"]} >= {"typer", "pytest"}
    assert all(item["reason"] for item in witness["dropped"])


def test_the_same_content_packed_elsewhere_gives_the_same_digest(tmp_path, monkeypatch):
    one = packed(shop(tmp_path / "one"), tmp_path / "a")
    shutil.copytree(tmp_path / "one", tmp_path / "deep" / "two", ignore=shutil.ignore_patterns("__pycache__"))
    crowded = tmp_path / "crowded"
    venv.create(crowded, symlinks=True)
    site = next((crowded / "lib").glob("python*")) / "site-packages"
    (site / "unrelated-9.dist-info").mkdir()
    (site / "unrelated-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: unrelated\nVersion: 9\n")
    monkeypatch.chdir(tmp_path / "deep")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    old = os.umask(0o077)
    try:
        other = packed(
            tmp_path / "deep" / "two" / "model.pkl",
            tmp_path / "b",
            python=str(crowded / "bin" / "python"),
            label=Label("shop", tags={"x": "y"}),
        )
    finally:
        os.umask(old)
    assert other.digest == one.digest
    assert "unrelated" in (next((other.path / "provenance").iterdir())).read_text()


def test_sealed_answers_are_those_to_the_sealed_rows(tmp_path):
    run(tmp_path, "import pickle, numpy; pickle.dump(numpy.arange(40.0).reshape(20, 2), open('x.pkl', 'wb'))")
    write_module(tmp_path, "sums", "class Sums:\n    def predict(self, X):\n        return X.sum(axis=1)\n")
    dump(tmp_path, "sums.Sums()")
    result = packed(tmp_path / "m.pkl", tmp_path / "out", samples=tmp_path / "x.pkl", rows=3)
    (sample,) = read_envelope(result.path).samples
    assert sample.body == {"X": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]}
    assert sample.answer == [1.0, 5.0, 9.0]
    assert [item.name for item in result.kept] == ["numpy"]


def test_without_samples_none_is_sealed(tmp_path):
    result = packed(shop(tmp_path), tmp_path / "out", keep_samples=False)
    assert not (result.path / "samples").exists()


def test_a_class_of_the_main_script_travels_with_the_script(tmp_path):
    write_module(
        tmp_path,
        "train",
        """
        import pickle

        class Doubler:
            def predict(self, x: float) -> float:
                return 2 * x

        if __name__ == "__main__":
            pickle.dump(Doubler(), open("model.pkl", "wb"))
        """,
    )
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True)
    (tmp_path / "samples.json").write_text('{"x": 4.0}')
    result = packed(tmp_path / "model.pkl", tmp_path / "out")
    envelope = read_envelope(result.path)
    assert envelope.description.loader.main == "train"
    assert (result.path / "code" / "train.py").is_file()
    assert envelope.samples[0].answer == 8.0


def test_a_model_that_is_not_deterministic_is_sealed_as_such(tmp_path):
    write_module(
        tmp_path,
        "dice",
        """
        import random

        class Dice:
            def predict(self, n: int) -> list[float]:
                return [random.random() for _ in range(n)]
        """,
    )
    dump(tmp_path, "dice.Dice()")
    (tmp_path / "samples.json").write_text('{"n": 3}')
    method = read_envelope(packed(tmp_path / "m.pkl", tmp_path / "out").path).signature.methods["predict"]
    assert (method.deterministic.value, method.tolerance.closeness.value) == ("no", "shape-only")


def test_an_async_function_is_packed_and_answers(tmp_path):
    write_module(tmp_path, "later", "async def double(x: int) -> int:\n    return 2 * x\n")
    dump(tmp_path, "later.double")
    (tmp_path / "samples.json").write_text('{"x": 21}')
    envelope = read_envelope(packed(tmp_path / "m.pkl", tmp_path / "out").path)
    assert envelope.signature.methods["predict"].is_async
    assert envelope.samples[0].answer == 42


def _break(folder, kind):
    model = shop(folder / "src")
    samples = model.with_name("samples.json")
    options = {}
    match kind:
        case "no pickle":
            model.write_text("hello world")
        case "truncated":
            model.write_bytes(model.read_bytes()[:-9])
        case "missing":
            model.unlink()
        case "missing modules":
            (model.parent / "shop.py").unlink()
        case "no such method":
            options["methods"] = ["forecast"]
        case "no rows":
            run(folder, "import pickle, numpy; pickle.dump(numpy.zeros((0, 2)), open('none.pkl', 'wb'))")
            write_module(model.parent, "sums", "class Sums:\n    def predict(self, X):\n        return X.sum(axis=1)\n")
            dump(model.parent, "sums.Sums()", "model.pkl")
            samples = folder / "none.pkl"
        case "refused samples":
            samples.write_text(json.dumps({"items": ["ham"], "discount": "half"}))
        case "model raises":
            write_module(model.parent, "prices", "def base(item):\n    raise ValueError('out of stock')\n")
        case "other answers":
            answers = folder / "answers.json"
            answers.write_text("1.0")
            options["answers"] = SampleFile(answers, "answers.json")
        case "bad name":
            options["label"] = Label("Not A Name")
        case "samples of unknown kind":
            samples = samples.rename(samples.with_suffix(".xyz"))
        case "no samples":
            samples.unlink()
        case "bad rows":
            options["rows"] = 0
        case "attachment missing":
            options["label"] = Label("shop", attachments=(folder / "plot.png",))
        case "no interpreter":
            options["python"] = str(folder / "python")
        case "hangs":
            write_module(model.parent, "prices", "import time\ntime.sleep(60)\n")
        case "exits":
            write_module(model.parent, "prices", "import os\nos._exit(7)\n")
        case "eats memory":
            write_module(model.parent, "prices", "def base(item):\n    return float(len(bytearray(10**10)))\n")
        case "system exit":
            write_module(model.parent, "prices", "import sys\nsys.exit('goodbye')\n")
        case "unserialisable answer":
            write_module(model.parent, "prices", "def base(item):\n    return object()\n")
    return model, samples, options


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        ("no pickle", InvalidPickle, "pickle.not-a-pickle"),
        ("truncated", InvalidPickle, "pickle.truncated"),
        ("missing", InvalidPickle, "pickle.missing"),
        ("missing modules", ModelFailed, "model.missing-module"),
        ("no such method", ModelFailed, "model.no-method"),
        ("no rows", InvalidSignature, "samples.empty"),
        ("refused samples", InvalidSignature, "signature.disagreement"),
        ("model raises", ModelFailed, "model.raised"),
        ("other answers", AnswersDiffer, "answers.differ"),
        ("bad name", InvalidInput, "name.invalid"),
        ("samples of unknown kind", InvalidInput, "samples.unknown-kind"),
        ("no samples", InvalidInput, "samples.missing"),
        ("bad rows", InvalidInput, "samples.rows"),
        ("attachment missing", InvalidInput, "attachment.missing"),
        ("no interpreter", InvalidInput, "python.missing"),
        ("exits", ModelFailed, "model.died"),
        ("system exit", ModelFailed, "model.load"),
        ("unserialisable answer", ModelFailed, "model.raised"),
    ],
)
def test_bad_input_is_told_clearly_and_nothing_is_left_behind(tmp_path, kind, error, code):
    model, samples, options = _break(tmp_path, kind)
    with pytest.raises(error) as caught:
        packed(model, tmp_path / "out", samples=samples, **options)
    assert caught.value.code == code
    assert caught.value.hint or caught.value.problems or caught.value.detail
    assert not (tmp_path / "out").exists()


def test_a_model_that_hangs_is_stopped(tmp_path, envelope):
    model, samples, _ = _break(tmp_path, "hangs")
    words = ["--input", samples, "--no-lock", "-o", tmp_path / "out", "--time-limit", "2"]
    done = envelope("pack", model, *words, code=1)
    assert "error[model.timeout]: loading and asking the model took more than 2 seconds and was stopped" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_that_eats_memory_is_stopped(tmp_path, envelope):
    model, samples, _ = _break(tmp_path, "eats memory")
    words = ["--input", samples, "--no-lock", "-o", tmp_path / "out", "--memory-limit"]
    done = envelope("pack", model, *words, "300MB", code=1)
    assert "error[model.memory]: loading or asking the model took more memory than it may" in done.stderr
    assert "the limit of memory is 'much', expected a size" in envelope("pack", model, *words, "much", code=1).stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_refused(tmp_path):
    model = shop(tmp_path)
    first = packed(model, tmp_path / "out")
    before = sorted(tmp_path.joinpath("out").rglob("*"))
    with pytest.raises(Refused) as caught:
        packed(model, tmp_path / "out")
    assert caught.value.code == "envelope.exists"
    assert str(first.path) in str(caught.value.message)
    assert sorted(tmp_path.joinpath("out").rglob("*")) == before


def test_what_a_model_prints_does_not_end_in_standard_output(tmp_path):
    model = shop(tmp_path)
    write_module(tmp_path, "prices", "print('loading!')\ndef base(item):\n    print('asked')\n    return 1.0\n")
    done = subprocess.run(
        [COMMAND, "pack", model, "--input", tmp_path / "samples.json", "--no-lock", "-o", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_dir()
    assert done.stdout.count("\n") == 1


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    model = shop(tmp_path / "src")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f'"{COMMAND}" pack "{model}" --input "{model.parent}/samples.json" --no-lock -o "{disk}/out"'
    script = f'mount -t tmpfs -o size=16k tmpfs "{disk}" && {command}; code=$?; ls -A "{disk}"; exit $code'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "error[system.no-space]" in done.stderr
    assert done.stdout == ""


def test_an_interrupt_in_the_middle_leaves_nothing(tmp_path):
    model, samples, _ = _break(tmp_path, "hangs")
    process = subprocess.Popen(
        [COMMAND, "pack", model, "--input", samples, "--no-lock", "-o", tmp_path / "out"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("out/.envelope-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert not (tmp_path / "out").exists()
    assert not _still_running(str(tmp_path))


def _still_running(text):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


@pytest.mark.network
def test_a_lock_is_made_and_proven_in_a_clean_room(tmp_path):
    run(tmp_path, "import pickle, numpy; pickle.dump(numpy.arange(4.0), open('x.pkl', 'wb'))")
    write_module(tmp_path, "sums", "class Sums:\n    def predict(self, X):\n        return X * 2\n")
    dump(tmp_path, "sums.Sums()")
    said = []
    result = packed(tmp_path / "m.pkl", tmp_path / "out", samples=tmp_path / "x.pkl", lock=True, report=said.append)
    assert result.locked
    assert result.proven
    lock = (result.path / "env" / "requirements.lock").read_text()
    assert lock.startswith("numpy==")
    assert "--hash=sha256:" in lock
    assert [event.step for event in said if isinstance(event, Done)][-2:] == ["prove", "seal"]


@pytest.mark.network
def test_libraries_of_the_system_stand_beside_the_lock(tmp_path):
    write_module(tmp_path, "boost", BOOST)
    dump(tmp_path, "boost.Boost()")
    (tmp_path / "samples.json").write_text('{"x": 1.0}')
    said = []
    proven, unproven = (
        packed(tmp_path / "m.pkl", tmp_path / str(prove), lock=True, prove=prove, report=said.append)
        for prove in (True, False)
    )
    assert json.loads((proven.path / "env" / "system.json").read_text()) == {
        "libraries": [{"soname": "libgomp.so.1", "package": "libgomp1", "needed_by": ["lightgbm/lib/lib_lightgbm.so"]}]
    }
    assert proven.digest == unproven.digest
    assert len([event for event in said if isinstance(event, Note) and "libgomp1" in event.text]) == 2
    without = packed(tmp_path / "m.pkl", tmp_path / "without")
    assert not (without.path / "env" / "system.json").exists()
    assert lock(without.path, into=tmp_path / "locked").digest == proven.digest


@pytest.mark.network
def test_a_lock_that_cannot_be_solved_names_the_package(tmp_path):
    site = tmp_path / "site"
    (site / "ghostly").mkdir(parents=True)
    (site / "ghostly" / "__init__.py").write_text("def base(item):\n    return 1.0\n")
    info = site / "ghostly_no_such_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ghostly-no-such-package\nVersion: 1.0\n")
    (info / "RECORD").write_text("ghostly/__init__.py,,\nghostly_no_such_package-1.0.dist-info/METADATA,,\n")
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    lib = next((environment / "lib").glob("python*")) / "site-packages"
    shutil.copytree(site, lib, dirs_exist_ok=True)
    folder = tmp_path / "src"
    folder.mkdir()
    write_module(folder, "prices", "from ghostly import base\n")
    write_module(
        folder,
        "shop",
        """
        from prices import base

        class Pricer:
            def predict(self, item: str) -> float:
                return base(item)
        """,
    )
    dump(folder, "shop.Pricer()", "model.pkl", environment / "bin" / "python")
    (folder / "samples.json").write_text('{"item": "ham"}')
    with pytest.raises(Unsolvable) as caught:
        packed(folder / "model.pkl", tmp_path / "out", lock=True, python=str(environment / "bin" / "python"))
    assert "ghostly-no-such-package" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_without_a_lock_the_missing_proof_is_said(tmp_path):
    said = []
    packed(shop(tmp_path), tmp_path / "out", report=said.append)
    assert [event for event in said if isinstance(event, Note)]


def test_a_manifest_that_was_written_anew_is_found_out(tmp_path, envelope):
    from model_envelope.runtime import manifest

    path = packed(shop(tmp_path), tmp_path / "out").path
    assert "as sealed" in envelope("verify", path).stdout
    code = path / "code" / "prices.py"
    code.chmod(0o644)
    code.write_text("def base(item):\n    return 0.0\n")
    assert "code/prices.py" in envelope("verify", path, code=3).stderr
    (path / manifest.NAME).chmod(0o644)
    (path / manifest.NAME).write_bytes(manifest.compose(path))
    assert manifest.NAME in envelope("verify", path, code=3).stderr
