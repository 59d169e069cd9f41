"""Local code as people have it: in other folders, in zips, in checkouts; and code that does odd things on import."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from models import write_module

HERE = Path(sys.executable)
MODEL = """
class Model:
    def predict(self, x: float) -> float:
        return compute(x)
"""


def project(folder, source, name="m", **modules):
    """Write a module with a model, its pickle (which nothing here has loaded) and samples; give the pickle."""
    folder.mkdir(parents=True, exist_ok=True)
    for module, text in {name: source + MODEL, **modules}.items():
        write_module(folder, module, text)
    return pickle_of(folder, name)


def pickle_of(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(f"c{name}\nModel\n)R.".encode())
    (folder / "samples.json").write_text('{"x": 4.0}')
    return folder / "model.pkl"


def pack(envelope, model, into, *words, cwd="/", **options):
    lock = [] if "lock" in words else ["--no-lock"]
    words = [word for word in words if word != "lock"]
    done = envelope(
        *("pack", model, "--input", model.with_name("samples.json"), *lock, "-o", into, *words),
        cwd=Path(cwd),
        **options,
    )
    return done if done.returncode else Path(done.stdout.strip())


def code_of(path):
    return sorted(file.relative_to(path / "code").as_posix() for file in (path / "code").rglob("*") if file.is_file())


def answer_of(path):
    return json.loads((path / "samples" / "predict.output.json").read_text())


def test_from_any_folder_with_modules_that_import_each_other(tmp_path, envelope):
    model = project(
        tmp_path / "src",
        "from one import compute\n",
        one="import two\ndef compute(x):\n    return two.add(x)\n",
        two="import one\ndef add(x):\n    return x + 1\n",
    )
    packed = pack(envelope, model, tmp_path / "out")
    assert code_of(packed) == ["m.py", "one.py", "two.py"]
    envelope("verify", packed, "--samples", cwd=Path("/"))


def test_the_modules_of_the_project_that_the_pickle_lies_in_are_found(tmp_path, envelope):
    root = tmp_path / "project"
    for path, source in {
        "pyproject.toml": "",
        "src/ours/__init__.py": "from shared import add\ndef compute(x):\n    return add(x)\n" + MODEL,
        "shared.py": "def add(x):\n    return x + 2\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(source)
    packed = pack(envelope, pickle_of(root / "models" / "v1", "ours"), tmp_path / "out")
    assert code_of(packed) == ["ours/__init__.py", "shared.py"]
    assert answer_of(packed) == 6.0


def test_what_is_loaded_by_a_computed_name_is_named(tmp_path, envelope):
    source = """
        import importlib

        def compute(x):
            return importlib.import_module("plug" + "ins.fast").double(x) if x > 100 else x

        class Model:
            def predict(self, x: float) -> float:
                return compute(x)
    """
    folder = tmp_path / "src"
    folder.mkdir()
    write_module(folder, "m", source)
    model = pickle_of(folder, "m")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "fast.py").write_text("import yaml\ndef double(x):\n    return 2 * x\n")
    assert code_of(pack(envelope, model, tmp_path / "without")) == ["m.py"]
    packed = pack(envelope, model, tmp_path / "with", "--module", "plugins.fast")
    assert code_of(packed) == ["m.py", "plugins/fast.py"]
    assert "pyyaml" in (packed / "env" / "requirements.in").read_text()
    (folder / "pyproject.toml").write_text('[tool.envelope]\nmodules = ["plugins.fast"]\n')
    assert pack(envelope, model, tmp_path / "said").name == packed.name
    done = pack(envelope, model, tmp_path / "wrong", "--module", "plugins.slow", code=1)
    assert "error[module.unknown]" in done.stderr
    assert not (tmp_path / "wrong").exists()


def test_a_script_in_another_folder_is_named_by_its_path(tmp_path, envelope):
    scripts, models = tmp_path / "scripts", tmp_path / "models"
    scripts.mkdir()
    models.mkdir()
    write_module(
        scripts,
        "train",
        "import pickle, sys\nfrom helper import compute\n"
        + MODEL
        + "if __name__ == '__main__':\n    pickle.dump(Model(), open(sys.argv[1], 'wb'))\n",
    )
    write_module(scripts, "helper", "def compute(x):\n    return 3 * x\n")
    model = pickle_of(models, "__main__")
    subprocess.run([sys.executable, scripts / "train.py", model], check=True, cwd=models)
    done = pack(envelope, model, tmp_path / "out", code=1)
    assert "error[pickle.main]" in done.stderr
    assert "--module PATH" in done.stderr
    packed = pack(envelope, model, tmp_path / "out", "--module", scripts / "train.py")
    assert code_of(packed) == ["helper.py", "train.py"]
    assert answer_of(packed) == 12.0


def test_modules_in_a_zip_travel_as_files_with_their_data(tmp_path, envelope):
    source = tmp_path / "source"
    (source / "pkg").mkdir(parents=True)
    (source / "pkg" / "__init__.py").write_text(
        "import pkgutil, late\nRATE = float(pkgutil.get_data('pkg', 'rate.txt'))\n"
        "def compute(x):\n    return late.same(x) * RATE\n" + MODEL
    )
    (source / "pkg" / "rate.txt").write_text("2.5")
    (source / "late.py").write_text("def same(x):\n    return x\n")
    archive = shutil.make_archive(str(tmp_path / "lib"), "zip", source)
    model = pickle_of(tmp_path / "src", "pkg")
    packed = pack(envelope, model, tmp_path / "out", env={"PYTHONPATH": archive})
    assert code_of(packed) == ["late.py", "pkg/__init__.py", "pkg/rate.txt"]
    assert answer_of(packed) == 10.0
    envelope("verify", packed, "--samples")


def test_a_package_of_gigabytes_is_refused_before_anything_is_copied(tmp_path, envelope):
    folder = tmp_path / "src" / "pkg"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("def compute(x):\n    return x\n" + MODEL)
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(2_000_000_000)
    model = pickle_of(tmp_path / "src", "pkg")
    done = pack(envelope, model, tmp_path / "out", code=1)
    assert "error[code.too-large]" in done.stderr
    assert "code/pkg/weights.bin: found 2.0 GB" in done.stderr
    assert "--code-limit" in done.stderr
    assert not (tmp_path / "out").exists()
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(2_000_000)
    assert pack(envelope, model, tmp_path / "small", "--code-limit", "1MB", code=1).returncode == 1
    assert "pkg/weights.bin" in code_of(pack(envelope, model, tmp_path / "out", "--code-limit", "3MB"))


def test_a_checkout_gives_its_package_and_nothing_else(tmp_path, envelope):
    checkout = tmp_path / "checkout"
    for path in (
        "src/ours/data/rate.txt",
        "tests/test_ours.py",
        "docs/index.md",
        ".git/config",
        "src/ours/.git/config",
    ):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text("2")
    (checkout / "src" / "ours" / "__init__.py").write_text(
        "from importlib.resources import files\n"
        "def compute(x):\n    return x * float(files(__package__).joinpath('data/rate.txt').read_text())\n" + MODEL
    )
    model = pickle_of(tmp_path / "models", "ours")
    packed = pack(envelope, model, tmp_path / "out", env={"PYTHONPATH": str(checkout / "src")})
    assert code_of(packed) == ["ours/__init__.py", "ours/data/rate.txt"]
    assert answer_of(packed) == 8.0


@pytest.mark.parametrize(
    "odd",
    [
        "os.fork()",
        "if os.fork() == 0:\n    note()\n    time.sleep(600)",
        "threading.Thread(target=time.sleep, args=(600,)).start()",
        "listening = socket.create_server(('127.0.0.1', 0))\nthreading.Thread(target=listening.accept).start()",
        "child = subprocess.Popen(['sleep', '600'])\nnote(child.pid)",
        "child = multiprocessing.Process(target=time.sleep, args=(600,))\nchild.start()\nnote(child.pid)",
    ],
    ids=["forks", "forks for good", "thread", "socket", "program", "process"],
)
def test_what_code_starts_when_it_is_imported_ends_with_the_probe(tmp_path, envelope, odd):
    notes = tmp_path / "pids"
    start = f"""
import multiprocessing, os, socket, subprocess, threading, time

def note(pid=None):
    with open({str(notes)!r}, "a") as file:
        file.write(f"{{pid or os.getpid()}}\\n")

note()
{odd}

def compute(x):
    return x
"""
    packed = pack(envelope, project(tmp_path / "src", start), tmp_path / "out")
    assert answer_of(packed) == 4.0
    assert len(list((tmp_path / "out").iterdir())) == 1
    for pid in notes.read_text().split():
        _expect_gone(Path("/proc", pid))


def _expect_gone(process):
    deadline = time.monotonic() + 20
    while process.exists() and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, f"{process.name} is still there"
        time.sleep(0.05)


def test_an_installed_package_that_is_broken_is_named(tmp_path, envelope):
    site = tmp_path / "site-packages"
    (site / "broken").mkdir(parents=True)
    (site / "broken" / "__init__.py").write_text("raise RuntimeError('libfoo.so is missing')\n")
    model = project(tmp_path / "src", "import broken\ndef compute(x):\n    return x\n")
    done = pack(envelope, model, tmp_path / "out", code=1, env={"PYTHONPATH": str(site)})
    assert "error[model.load]" in done.stderr
    assert "libfoo.so is missing" in done.stderr
    assert "the installed `broken`" in done.stderr
    assert not (tmp_path / "out").exists()


def test_files_that_lie_in_the_current_folder_by_chance_shadow_nothing(tmp_path, envelope):
    chance = tmp_path / "chance"
    chance.mkdir()
    for name in ("random", "yaml", "numpy", "typing_inspect"):
        write_module(chance, name, "raise RuntimeError('not meant')\n")
    model = project(
        tmp_path / "src", "import random, yaml\ndef compute(x):\n    return x + len(yaml.safe_dump({'a': 1}))\n"
    )
    packed = pack(envelope, model, tmp_path / "out", cwd=chance)
    assert code_of(packed) == ["m.py"]
    assert answer_of(packed) == 9.0


SHADOWING = """
import httpcore
from h11 import add

def compute(x):
    return add(x, len(httpcore.URL("http://host/").host))
"""


@pytest.mark.network
def test_a_module_named_like_a_library_shadows_it_for_nobody_in_a_clean_room(tmp_path, envelope):
    # httpcore imports the library h11, and fails to load where that is another.
    model = project(tmp_path / "src", SHADOWING, h11="def add(x, y):\n    return x + y\n")
    packed = pack(envelope, model, tmp_path / "out", "lock")
    assert code_of(packed) == ["h11.py", "m.py"]
    assert answer_of(packed) == 8.0
    assert "\nh11==" in (packed / "env" / "requirements.lock").read_text()
    assert "h11==" not in (packed / "env" / "requirements.in").read_text()
    envelope("verify", packed, "--clean")


def test_two_envelopes_with_equal_module_names_are_served_side_by_side(tmp_path, envelope):
    source = "import features\ndef compute(x):\n    import late\n    return x * features.RATE + late.MORE\n"
    packed = [
        pack(
            envelope,
            project(tmp_path / str(rate), source, features=f"RATE = {rate}\n", late=f"MORE = {rate * 100}\n"),
            tmp_path / "out",
        )
        for rate in (2, 3)
    ]
    command = [HERE.with_name("envelope"), "serve", "--port", "0", "--python", HERE]
    services = [subprocess.Popen([*command, path], stdout=subprocess.PIPE, text=True) for path in packed]
    try:
        urls = [service.stdout.readline().strip() for service in services]
        answers = []
        for url in urls:
            with urllib.request.urlopen(f"{url}/predict", b'{"x": 1.0}') as response:
                answers.append(json.load(response))
        assert answers == [202.0, 303.0]
    finally:
        for service in services:
            service.terminate()
            service.communicate(timeout=30)


def test_a_model_that_was_saved_before_its_module_changed_answers_as_it_was_saved(tmp_path):
    write_module(tmp_path, "features", "RATE = 2.0\n")
    script = """
        import sys
        from pathlib import Path
        import model_envelope as me
        import features

        class Model:
            def predict(self, x: float) -> float:
                import features as late
                return x * features.RATE * late.RATE

        def save(name):
            return me.save_model(model=Model(), instance_name=name, api_input=1.0, lock=False, prove=False, into="out")

        first = save("first")
        Path("features.py").write_text("RATE = 10.0\\n")
        del sys.modules["features"]
        import features
        second = save("second")
        print(me.load_envelope(first.path).predict(1.0), me.load_envelope(second.path).predict(1.0), features.RATE)
    """
    write_module(tmp_path, "etl", script)
    done = subprocess.run(
        [sys.executable, "-B", "etl.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4.0", "100.0", "10.0"]
