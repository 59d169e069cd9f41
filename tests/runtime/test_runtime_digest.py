import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from model_envelope.foundation import carrying
from model_envelope.runtime.runtime_digest import CARRIED, PACKAGE, runtime_digest

TELL = "from model_envelope.runtime.runtime_digest import runtime_digest; print(runtime_digest())"


@pytest.mark.parametrize("carry", [carrying.copy, carrying.link])
def test_what_is_carried_has_the_digest_of_what_it_was_carried_from(tmp_path, carry):
    home = carry(tmp_path / "lib", CARRIED)
    subprocess.run([sys.executable, "-m", "compileall", "-q", tmp_path / "lib" / "model_envelope"], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", TELL], env={"PYTHONPATH": str(home)}, cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == runtime_digest()


def test_it_is_what_sha256sum_makes_of_the_sources():
    script = "find __init__.py runtime serving -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    done = subprocess.run(["sh", "-c", script], cwd=PACKAGE, capture_output=True, check=True)
    assert done.stdout.decode().split()[0] == runtime_digest()


def test_any_change_of_a_source_changes_it(tmp_path):
    package = carrying.copy(tmp_path, CARRIED) / "model_envelope"
    seen = {runtime_digest(package)}
    for change in (
        lambda: (package / "serving" / "app.py").write_bytes(b"#"),
        lambda: (package / "serving" / "app.py").rename(package / "serving" / "app2.py"),
        lambda: (package / "__init__.py").write_bytes(b"#"),
        lambda: (package / "runtime" / "new.py").write_bytes(b""),
    ):
        change()
        runtime_digest.cache_clear()
        seen.add(runtime_digest(package))
    assert len(seen) == 5
    (package / "serving" / "assets" / "docs.html").write_bytes(b"")
    (package / "runtime" / "__pycache__").mkdir(exist_ok=True)
    (package / "runtime" / "__pycache__" / "x.pyc").write_bytes(b"")
    runtime_digest.cache_clear()
    assert runtime_digest(package) in seen


def test_the_package_is_the_one_that_runs():
    assert Path(sys.modules["model_envelope"].__file__).parent == PACKAGE
    assert len(runtime_digest()) == len(hashlib.sha256().hexdigest())
