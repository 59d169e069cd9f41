import os
import subprocess
import sys

from model_envelope.foundation.libraries import Libraries, Library
from model_envelope.runtime import manifest


def test_text(cli, sealed):
    cli("tag", sealed, "stage=canary")
    cli("metric", sealed, "auc=0.5")
    ran = cli("show", sealed)
    digest = manifest.digest((sealed / manifest.NAME).read_bytes())
    assert (ran.code, ran.err) == (0, "")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    size = next(line for line in ran.out.splitlines() if line.startswith("size"))
    assert ran.out == (
        f"doubler  {digest[:12]}\n"
        "Doubles numbers\n"
        "\n"
        "predict(values)\n"
        "├── values  list of float64\n"
        "└── ->  list of float64\n"
        "total(values, *, start=0.0)\n"
        "├── values  list of float64\n"
        "├── start  float64\n"
        "└── ->  float64\n"
        "\n"
        f"python        {version} (CPython, linux-x86_64)\n"
        "packages      none (locked)\n"
        "code          doubling/__init__.py\n"
        "samples       predict, total\n"
        "parameters    factor=2\n"
        "tags          stage=canary\n"
        "metrics       auc=0.5\n"
        f"{size}\n"
    )


def test_json(cli, sealed):
    result = cli("show", sealed, "--json").result
    assert result.keys() == {
        "path", "name", "digest", "description", "signature", "python", "implementation", "platform", "framework",
        "hyperparameters", "dependencies", "locked", "system", "code", "samples", "attachments", "tags", "metrics",
        "size",
    }  # fmt: skip
    assert result["signature"]["methods"]["predict"]["parameters"] == [
        {"name": "values", "type": {"type": "list", "item": {"type": "scalar", "dtype": "float64"}}}
    ]
    assert result["samples"] == ["predict", "total"]


def test_libraries_of_the_system_are_shown_with_their_packages(cli, sealed):
    entries = [
        Library("libgthread-2.0.so.0", "libglib2.0-0", ("cv2/cv2.so",)),
        Library("libglib-2.0.so.0", "libglib2.0-0", ("cv2/cv2.so",)),
        Library("libodd.so.7", "", ("odd/a.so",)),
    ]
    (sealed / "env" / "system.json").write_bytes(Libraries.of(entries).to_bytes())
    said = "system        libglib2.0-0 (libglib-2.0.so.0, libgthread-2.0.so.0), unknown (libodd.so.7)\n"
    assert said in cli("show", sealed).out
    first = {"soname": "libglib-2.0.so.0", "package": "libglib2.0-0", "needed_by": ["cv2/cv2.so"]}
    assert cli("show", sealed, "--json").result["system"][0] == first


def test_an_envelope_without_a_lock_says_how_to_get_one(cli, make_sealed):
    ran = cli("show", make_sealed(lock=False, samples=False))
    assert "none (not locked: `envelope lock` does it)" in ran.out
    assert "samples       none" in ran.out


def test_no_envelope(cli, tmp_path):
    ran = cli("show", tmp_path / "nowhere", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "envelope.missing"
    assert ran.document["command"] == "show"


def test_piped_output_is_not_wrapped(sealed):
    env = {**os.environ, "COLUMNS": "40"}
    done = subprocess.run(
        [sys.executable, "-m", "model_envelope", "show", sealed], capture_output=True, text=True, env=env, check=True
    )
    assert "(CPython, linux-x86_64)" in done.stdout
    assert "\x1b" not in done.stdout
