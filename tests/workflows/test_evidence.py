"""What a run shows of a model's needs: libraries of this test's own make, beside a model that uses them."""

import json
import textwrap

import pytest
from environments import Environment
from models import dump, write_module

from model_envelope.workflows.dependencies import dependencies
from model_envelope.workflows.pack import Label, SampleFile, pack

MODEL = """
    import {library}

    class Model:
        def predict(self, x: int) -> int:
            return {library}.answer(x)
"""


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """An environment on the path of whatever is started, beside that of the tests."""
    folder = tmp_path / "env" / "lib" / "python3" / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return Environment(folder)


def install(environment, name, source, **more):
    files = {f"{name}/__init__.py": textwrap.dedent(source), **more.pop("files", {})}
    environment.install(name.replace("_", "-"), files=files, **more)


def packed(folder, source):
    work = folder / "work"
    work.mkdir()
    write_module(work, "local", source)
    dump(work, "local.Model()", "model.pkl")
    (work / "x.json").write_text(json.dumps({"x": 2}))
    samples = SampleFile(work / "x.json", "the samples")
    result = pack(work / "model.pkl", samples=samples, into=folder / "out", label=Label("small"), lock=False)
    kept = {item.name: item.reasons for item in result.kept}
    return kept, {item.name: item.reason for item in dependencies(result.path).left_out}


def test_what_a_library_imports_because_it_is_there_is_left_out(beside, tmp_path):
    install(beside, "pleasant", "")
    install(
        beside,
        "maths",
        """
        try:
            import pleasant
        except ImportError:
            pleasant = None

        def answer(x):
            return x + 1
        """,
    )
    kept, left_out = packed(tmp_path, MODEL.format(library="maths"))
    assert kept == {"maths": ("code/local.py imports maths",)}
    assert left_out["pleasant"] == (
        "in use because it is installed (maths imports pleasant); without it the model answers the same"
    )


def test_what_a_library_picks_and_cannot_do_without_is_kept(beside, tmp_path):
    install(beside, "slow_engine", "def double(x):\n    return 2 * x\n", requires=["gears"])
    install(beside, "gears", "")
    install(beside, "pleasant", "")
    install(
        beside,
        "maths",
        """
        import importlib

        def answer(x):
            for name in ("fast_engine", "slow_engine"):
                try:
                    engine = importlib.import_module(name)
                except ImportError:
                    continue
                return engine.double(x)
            raise RuntimeError("no engine is installed")

        try:
            import pleasant
        except ImportError:
            pass
        """,
    )
    kept, left_out = packed(tmp_path, MODEL.format(library="maths"))
    assert kept.keys() == {"maths", "slow-engine"}
    assert kept["slow-engine"][0].startswith("run: maths imports slow_engine; without it: ")
    assert "no engine is installed" in kept["slow-engine"][0]
    assert "gears" not in left_out
    assert left_out["pleasant"].endswith("without it the model answers the same")


def test_a_backend_without_which_the_answers_differ_is_kept(beside, tmp_path):
    install(beside, "exact", "FACTOR = 3\n")
    install(
        beside,
        "maths",
        """
        try:
            from exact import FACTOR
        except ImportError:
            FACTOR = 2

        def answer(x):
            return FACTOR * x
        """,
    )
    kept, _ = packed(tmp_path, MODEL.format(library="maths"))
    assert "`predict` answers otherwise: $: found 4 (2 apart, relative 0.33), expected 6" in kept["exact"][0]


def test_a_plug_in_is_found_by_its_entry_point(beside, tmp_path):
    install(
        beside,
        "plugin",
        "def score(x):\n    return 7 * x\n",
        entry_points="[maths.scores]\nseven = plugin:score\n",
    )
    install(beside, "other", "def score(x):\n    return x\n", entry_points="[other.scores]\none = other:score\n")
    install(
        beside,
        "maths",
        """
        from importlib.metadata import entry_points

        SCORES = [point.load() for point in entry_points(group="maths.scores")]

        def answer(x):
            return sum(score(x) for score in SCORES)
        """,
    )
    kept, left_out = packed(tmp_path, MODEL.format(library="maths"))
    assert kept["plugin"][0].startswith("run: entry point maths.scores: seven; without it: `predict` answers otherwise")
    assert left_out["other"] == "not used by the model"


def test_data_that_is_opened_by_its_path_is_found(beside, tmp_path):
    install(beside, "weights", "", files={"weights/factor.txt": "5"})
    install(
        beside,
        "maths",
        """
        from pathlib import Path

        def answer(x):
            return x * int((Path(__file__).parent.parent / "weights" / "factor.txt").read_text())
        """,
    )
    kept, _ = packed(tmp_path, MODEL.format(library="maths"))
    assert kept["weights"][0].startswith("run: its file factor.txt is opened; without it: ")


def test_a_version_that_is_asked_for_is_found(beside, tmp_path):
    install(beside, "engine", "")
    install(
        beside,
        "maths",
        """
        from importlib.metadata import version

        def answer(x):
            return x if version("engine") == "1.0" else -x
        """,
    )
    kept, _ = packed(tmp_path, MODEL.format(library="maths"))
    assert "engine" in kept


def test_what_local_code_can_do_without_is_left_out_and_what_it_answers_with_is_kept(beside, tmp_path):
    install(beside, "bars", "def bar(things):\n    return things\n")
    install(beside, "factors", "FACTOR = 3\n")
    source = """
        try:
            from bars import bar
        except ImportError:
            bar = iter
        try:
            from factors import FACTOR
        except ImportError:
            FACTOR = 2

        class Model:
            def predict(self, x: int) -> int:
                return sum(FACTOR for _ in bar(range(x)))
    """
    kept, left_out = packed(tmp_path, source)
    assert kept.keys() == {"factors"}
    assert left_out["bars"] == (
        "it is asked for, and may be missing (code/local.py imports bars); without it the model answers the same"
    )


def test_what_takes_the_place_of_something_is_no_reason_to_leave_that_out(beside, tmp_path):
    """Of two parsers one is enough, and the first that is there is taken: it is kept, for none would be too few."""
    install(beside, "quick", "def parse(x):\n    return x\n")
    install(beside, "slow", "def parse(x):\n    return x\n")
    source = """
        try:
            import quick as parser
        except ImportError:
            import slow as parser

        class Model:
            def predict(self, x: int) -> int:
                return parser.parse(x)
    """
    kept, left_out = packed(tmp_path, source)
    assert kept.keys() == {"quick"}
    assert "slow" in left_out


def test_what_has_a_place_taken_by_the_standard_library_is_left_out(beside, tmp_path):
    install(beside, "quick", "from json import loads\n")
    install(beside, "slow", "from json import loads\n")
    source = """
        try:
            import quick as parser
        except ImportError:
            try:
                import slow as parser
            except ImportError:
                import json as parser

        class Model:
            def predict(self, x: int) -> int:
                return parser.loads(str(x))
    """
    kept, left_out = packed(tmp_path, source)
    assert kept == {}
    assert {"quick", "slow"} <= left_out.keys()


def test_of_two_variants_of_a_module_the_named_one_explains_it(beside, tmp_path):
    install(beside, "maths", "def answer(x):\n    return x\n")
    beside.install("maths-cpu", files={"maths/__init__.py": "def answer(x):\n    return x\n"})
    kept, _ = packed(tmp_path, MODEL.format(library="maths"))
    assert "maths" in kept


def test_a_model_that_never_answers_twice_alike_is_tried_for_its_shape(beside, tmp_path):
    install(beside, "engine", "import random\n\ndef draw():\n    return random.randrange(10**9)\n")
    install(
        beside,
        "maths",
        """
        import importlib

        def answer(x):
            return importlib.import_module("eng" + "ine").draw()
        """,
    )
    kept, _ = packed(tmp_path, MODEL.format(library="maths"))
    assert kept.keys() == {"engine", "maths"}
