"""The oracle finds what a model cannot do without, in environments of a few distributions made by hand."""

import subprocess
import sys

import pytest
from handmade import NUMBER, make_envelope

from corpus.oracle import Crowded, Oracle
from corpus.running import Failed
from model_envelope.runtime import signature as s

METHODS = {"predict": s.Method((s.Parameter("x", NUMBER),), NUMBER)}
SAMPLES = {"predict": ({"x": 2.0}, 6.0)}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowded")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")

    def install(name, files, requires=(), entry_points=""):
        info = f"{name.replace('-', '_')}-1.0.dist-info"
        needs = "".join(f"Requires-Dist: {item}\n" for item in requires)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"
        every = {**files, f"{info}/METADATA": metadata, f"{info}/entry_points.txt": entry_points}
        for path, text in every.items():
            (packages / path).parent.mkdir(parents=True, exist_ok=True)
            (packages / path).write_text(text)
        (packages / info / "RECORD").write_text("".join(f"{path},,\n" for path in (*every, f"{info}/RECORD")))

    install("factors", {"factors.py": "THREE = 3"})
    install("unused", {"unused.py": "import factors"}, requires=["factors"])
    install("data-only", {"data_only/__init__.py": "", "data_only/factor.txt": "3"})
    install("plug-in", {"plug_in.py": "def three(): return 3"}, entry_points="[factors]\nthree = plug_in:three\n")
    install(
        "other-plug-in", {"other_plug_in.py": "import gone"}, entry_points="[factors]\nother = other_plug_in:gone\n"
    )
    install("shared-a", {"shared/a.py": "VALUE = 1"})
    install("shared-b", {"shared/b.py": "VALUE = 2"})
    install("plain", {"plain.py": "THREE = 3"})
    install("quick", {"quick.py": "THREE = 3"})
    sheets = "try:\n    from quick import THREE\nexcept ImportError:\n    from plain import THREE\n"
    install("sheets", {"sheets.py": sheets}, requires=["plain", "unused; extra == 'more'"])
    return Crowded(folder / "bin" / "python")


@pytest.fixture
def truth(crowded, tmp_path):
    def find(body):
        lines = "\n        ".join(body)
        source = f"class Model:\n    def predict(self, x):\n        {lines}\n"
        return Oracle(make_envelope(tmp_path, source, METHODS, SAMPLES), crowded).truth()

    return find


def test_what_is_imported_is_needed_and_nothing_else(truth):
    found = truth(["import factors", "return x * factors.THREE"])
    assert found.needed == found.direct == ("factors",)


def test_files_of_data_are_gone_with_their_distribution(truth):
    body = [
        "from importlib import resources",
        "return x * int(resources.files('data_only').joinpath('factor.txt').read_text())",
    ]
    assert truth(body).needed == ("data-only",)


def test_metadata_is_gone_too(truth):
    assert truth(["from importlib.metadata import version", "return x * 3 * float(version('unused'))"]).needed == (
        "unused",
    )


def test_of_several_plug_ins_only_the_one_that_is_asked_is_needed(truth):
    body = ["from importlib.metadata import entry_points", "found = entry_points(group='factors', name='three')"]
    assert truth([*body, "return x * tuple(found)[0].load()()"]).needed == ("plug-in",)


def test_the_parts_of_a_namespace_are_taken_away_each_for_itself(truth):
    assert truth(["import shared.b", "return x * 3 * shared.b.VALUE / 2"]).needed == ("shared-b",)


def test_what_the_model_can_do_without_is_not_needed(truth):
    body = ["try:", "    import quick", "except ImportError:", "    pass", "return x * 3"]
    assert truth(body).needed == ()


def test_of_two_that_can_stand_for_each_other_the_one_that_comes_along_stays(truth):
    found = truth(["import sheets", "return x * sheets.THREE"])
    assert found.needed == ("plain", "sheets")
    assert found.direct == ("sheets",)


def test_a_model_that_does_not_answer_as_sealed_has_no_truth(truth):
    with pytest.raises(Failed, match="with everything there"):
        truth(["return x"])


def test_a_list_is_held_against_what_is_needed(crowded):
    found = crowded.judge(["sheets", "quick"], ["sheets", "plain", "factors"])
    assert (found.missing, found.needless) == (("factors",), ("quick",))
    assert (found.found, found.needed, found.right, found.listed) == (2, 3, 1, 2)
