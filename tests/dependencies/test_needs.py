"""What is kept, what is dropped, and the reasons that a user reads."""

import sys

import pytest

from model_envelope.dependencies.needs import LocalModule, Seen, Tried, find_needs
from model_envelope.dependencies.rules import Rules
from model_envelope.foundation.errors import InvalidInput

STDLIB = frozenset(sys.stdlib_module_names)


@pytest.fixture
def crowd(environment):
    """An environment as people have them."""
    environment.install(
        "scikit-learn",
        "1.5.2",
        files={"sklearn/__init__.py": "", "sklearn/pipeline.py": ""},
        requires=["numpy>=1.19", "scipy", "pandas; extra == 'docs'"],
    )
    environment.install("numpy", "2.1.0")
    environment.install("scipy", "1.14.0", requires=["numpy<3"])
    environment.install("pandas", "2.2.3", requires=["numpy", "python-dateutil>=2"])
    environment.install("python-dateutil", "2.9.0", files={"dateutil/__init__.py": ""}, requires=["six"])
    environment.install("six", "1.16.0", files={"six.py": ""})
    environment.install("pyarrow", "18.0")
    environment.install("pytest", "8.0")
    environment.install("cloudpickle", "3.1")
    environment.install("model-envelope", "0.1", files={"model_envelope/__init__.py": ""})
    environment.install("torch", "2.13.0+cpu")
    return environment


def needs(environment, *named, loaded=None, flavors=(), roots=(), **more):
    return find_needs(
        scan_globals=[tuple(name.rsplit(".", 1)) if "." in name else (name, "") for name in named],
        seen=Seen(loaded or {}),
        flavors=flavors,
        installed=environment.read(),
        stdlib=STDLIB,
        local_roots=roots,
        **more,
    )


def kept(found):
    return {item.name: item.reasons for item in found.kept}


def dropped(found):
    return {item.name: item.reason for item in found.dropped}


def test_keeps_what_the_pickle_names_and_says_where(crowd):
    found = needs(
        crowd, "sklearn.pipeline.Pipeline", "sklearn._new._private.Thing", "collections.OrderedDict", "builtins.getattr"
    )
    assert kept(found) == {"scikit-learn": ("pickle: sklearn._new._private.Thing", "pickle: sklearn.pipeline.Pipeline")}
    assert found.requirements == b"scikit-learn==1.5.2\n"
    assert found.local == ()


def test_says_of_everything_else_why_not(crowd):
    loaded = {name: str(crowd.folder / name / "__init__.py") for name in ("sklearn", "numpy", "pyarrow", "pandas")}
    found = needs(crowd, "sklearn.pipeline.Pipeline", loaded=loaded, flavors=["pandas"])
    assert kept(found)["pandas"] == ("signature: pandas",)
    assert found.requirements == b"pandas==2.2.3\nscikit-learn==1.5.2\n"
    assert dropped(found) == {
        "numpy": "comes with pandas",
        "python-dateutil": "comes with pandas",
        "six": "comes with pandas",
        "scipy": "comes with scikit-learn",
        "pyarrow": "in use because it is installed (pyarrow is imported), and nothing that is kept requires it",
        "pytest": "not used by the model (a test tool)",
        "cloudpickle": "not used by the model",
        "model-envelope": "packs the model; the model does not use it",
        "torch": "not used by the model",
    }


def test_what_the_pickle_names_is_direct_even_if_it_also_comes_along(crowd):
    found = needs(
        crowd, "sklearn.pipeline.Pipeline", "numpy._core.multiarray._reconstruct", "cloudpickle.cloudpickle.subimport"
    )
    assert set(kept(found)) == {"scikit-learn", "numpy", "cloudpickle"}
    assert "numpy" not in dropped(found)


def test_keeps_local_version_labels(crowd):
    assert needs(crowd, "torch.nn.modules.linear.Linear").requirements == b"torch==2.13.0+cpu\n"


def test_a_distribution_behind_an_extra_does_not_come_along(crowd):
    assert dropped(needs(crowd, "sklearn.pipeline.Pipeline"))["pandas"] == "not used by the model"


def test_follows_extras_that_are_asked_for(environment):
    environment.install("server", requires=["fast[loop]"])
    environment.install("fast", requires=["loops; extra == 'loop'", "winfast; sys_platform == 'win32'"])
    environment.install("loops")
    environment.install("winfast")
    reasons = dropped(needs(environment, "server.App"))
    assert reasons["loops"] == "comes with server"
    assert reasons["winfast"] == "not used by the model"


def test_follows_local_code_from_file_to_file(crowd, tmp_path):
    project = tmp_path / "project"
    (project / "shared").mkdir(parents=True)
    (project / "features.py").write_text(
        "from shared import text\n\ndef add(x):\n    import pandas as pd\n    return pd\n"
    )
    (project / "shared" / "__init__.py").write_text("")
    (project / "shared" / "text.py").write_text("from . import deep\nimport features\nif False:\n    import torch\n")
    (project / "shared" / "deep.py").write_text("from dateutil.parser import parse\nimport json\n")
    (project / "shared" / "training.py").write_text("import pyarrow\n")
    (project / "unrelated.py").write_text("import torch\n")
    found = needs(crowd, "features.add", roots=[project])
    assert found.local == (LocalModule("features", project / "features.py"), LocalModule("shared", project / "shared"))
    assert kept(found) == {
        "pandas": ("code/features.py imports pandas",),
        "python-dateutil": ("code/shared/deep.py imports dateutil.parser",),
    }


def test_what_a_rule_says_code_can_do_without_is_tried_where_it_was_in_use(crowd, tmp_path):
    (tmp_path / "zones.py").write_text(
        "def inside(points):\n    from pytest import approx\n    return approx(points)\n"
    )
    unused = needs(crowd, "zones.inside", roots=[tmp_path])
    assert unused.doubts == ()
    assert dropped(unused)["pytest"] == ("a test tool, and local code can do without it (code/zones.py imports pytest)")
    loaded = {"pytest": str(crowd.folder / "pytest" / "__init__.py"), "zones": str(tmp_path / "zones.py")}
    found = needs(crowd, "zones.inside", roots=[tmp_path], loaded=loaded)
    assert [doubt.name for doubt in found.doubts] == ["pytest"]
    tried = Tried({"pytest": "run: without it: ModuleNotFoundError"})
    assert "pytest" in kept(needs(crowd, "zones.inside", roots=[tmp_path], loaded=loaded, tried=tried))


def test_what_the_tool_had_loaded_before_is_tried_along_with_other_things(crowd):
    preloaded = ("pytest", "numpy", "model_envelope")
    arrow = {"pyarrow": str(crowd.folder / "pyarrow" / "__init__.py")}
    seen = {"scan_globals": [("pandas", "DataFrame")], "flavors": (), "installed": crowd.read(), "stdlib": STDLIB}
    alone = find_needs(**seen, seen=Seen(preloaded=preloaded), local_roots=())
    assert alone.doubts == ()
    beside = find_needs(**seen, seen=Seen(arrow, preloaded=preloaded), local_roots=())
    assert [doubt.name for doubt in beside.doubts] == ["pyarrow", "pytest"]


def test_what_a_shipped_rule_keeps_is_tried_where_it_was_in_use(environment):
    environment.install("xgboost", files={"xgboost/__init__.py": "", "xgboost/sklearn.py": ""})
    environment.install("scikit-learn", files={"sklearn/__init__.py": ""})
    loaded = {"xgboost.sklearn": str(environment.folder / "xgboost" / "sklearn.py")}
    found = needs(environment, "xgboost.sklearn.XGBClassifier", loaded=loaded)
    assert set(kept(found)) == {"xgboost", "scikit-learn"}
    assert [doubt.name for doubt in found.doubts] == ["scikit-learn"]
    tried = Tried(spare={"scikit-learn": "without it the model answers the same"})
    found = needs(environment, "xgboost.sklearn.XGBClassifier", loaded=loaded, tried=tried)
    assert set(kept(found)) == {"xgboost"}


EVERYTHING = """
import helpers

TABLE = {"rare": "by_word"}

class Model:
    def predict(self, x):
        return score(x)

def score(x):
    import numpy
    return helpers.shared(x)

def by_word(x):
    import scipy

def train(x):
    import torch
    import drawing
    return Model()
"""


@pytest.fixture
def everything(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "everything.py").write_text(EVERYTHING)
    (project / "helpers.py").write_text("def shared(x):\n    import pandas\n\ndef other(x):\n    import pyarrow\n")
    (project / "drawing.py").write_text("import pytest\n")
    return project


def test_functions_that_nothing_asks_for_ask_for_nothing(crowd, everything):
    found = needs(crowd, "everything.Model", roots=[everything])
    assert set(kept(found)) == {"numpy", "scipy", "pandas"}
    assert {item.name for item in found.local} == {"everything", "helpers", "drawing"}
    reasons = dropped(found)
    assert reasons["torch"] == (
        "not used by the model (code/everything.py imports torch in `train`, which nothing asks for)"
    )
    assert reasons["pyarrow"] == (
        "not used by the model (code/helpers.py imports pyarrow in `other`, which nothing asks for)"
    )


@pytest.mark.parametrize(
    ("written", "more"),
    [
        ("PLUGINS = ['everything:train']", {"torch", "pytest"}),
        ("ask = getattr(helpers, word)", {"torch", "pytest", "pyarrow"}),
        ("@register\ndef late():\n    train()", {"torch", "pytest"}),
        ("def late(): helpers.other()", set()),
        ("class Late(Model):\n    def predict(self, x): helpers.other()", {"pyarrow"}),
    ],
)
def test_what_may_be_asked_for_counts(crowd, everything, written, more):
    with (everything / "everything.py").open("a") as file:
        file.write(f"\n{written}\n")
    found = needs(crowd, "everything.Model", roots=[everything])
    assert set(kept(found)) == {"numpy", "scipy", "pandas"} | more


def test_all_of_a_module_counts_that_is_taken_as_a_whole(crowd, everything):
    whole = {"numpy", "scipy", "pandas", "torch", "pytest"}
    assert whole <= set(kept(needs(crowd, "everything", roots=[everything])))
    by_value = [("everything", "__main__", False)]
    assert whole <= set(kept(needs(crowd, roots=[everything], by_value=by_value)))
    loaded = {"everything": str(everything / "everything.py")}
    assert whole <= set(kept(needs(crowd, roots=[everything], loaded=loaded)))


def test_local_code_is_found_by_where_it_was_loaded_from(crowd, tmp_path):
    (tmp_path / "away" / "pkg" / "sub").mkdir(parents=True)
    (tmp_path / "away" / "pkg" / "__init__.py").write_text("")
    (tmp_path / "away" / "pkg" / "sub" / "mod.py").write_text("import scipy\n")
    (tmp_path / "away" / "plugin.py").write_text("import pandas\n")
    away = tmp_path / "away"
    loaded = {
        "pkg": str(away / "pkg" / "__init__.py"),
        "pkg.sub": None,
        "pkg.sub.mod": str(away / "pkg" / "sub" / "mod.py"),
        "plugin": str(away / "plugin.py"),
        "json": "/usr/lib/python3.11/json/__init__.py",
        "_sysconfigdata__linux": "/usr/lib/python3.11/_sysconfigdata__linux.py",
        "scipy": str(crowd.folder / "scipy" / "__init__.py"),
    }
    found = needs(crowd, "pkg.sub.mod.Model", loaded=loaded)
    assert found.local == (LocalModule("pkg", away / "pkg"), LocalModule("plugin", away / "plugin.py"))
    assert kept(found) == {
        "pandas": ("code/plugin.py imports pandas",),
        "scipy": ("code/pkg/sub/mod.py imports scipy",),
    }


def test_a_local_module_takes_the_place_of_an_installed_one_only_if_it_does_in_python(crowd, tmp_path):
    (tmp_path / "six.py").write_text("")
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "data.py").write_text("")
    found = needs(crowd, "six.Thing", "numpy.dtype", roots=[tmp_path])
    assert found.local == (LocalModule("six", tmp_path / "six.py"),)
    assert set(kept(found)) == {"numpy"}
    loaded = {"six": str(crowd.folder / "six.py")}
    assert needs(crowd, "six.Thing", roots=[tmp_path], loaded=loaded).local == ()


def test_folders_without_init_are_packages_too(crowd, tmp_path):
    (tmp_path / "space" / "inner").mkdir(parents=True)
    (tmp_path / "space" / "inner" / "mod.py").write_text("import scipy\n")
    found = needs(crowd, "space.inner.mod.Model", roots=[tmp_path])
    assert found.local == (LocalModule("space", tmp_path / "space"),)
    assert set(kept(found)) == {"scipy"}


def test_editable_installs_are_local_code(crowd, tmp_path):
    project = tmp_path / "our-models"
    (project / "src" / "our_models").mkdir(parents=True)
    (project / "src" / "our_models" / "__init__.py").write_text("import scipy\n")
    crowd.install(
        "our-models", files={}, requires=["torch"], direct_url={"url": project.as_uri(), "dir_info": {"editable": True}}
    )
    found = needs(crowd, "our_models.Model")
    assert found.local == (LocalModule("our_models", project / "src" / "our_models"),)
    assert set(kept(found)) == {"scipy"}
    assert dropped(found)["our-models"] == "its code travels with the model"


def test_editable_installs_by_a_table_are_found(crowd, tmp_path):
    package = tmp_path / "elsewhere" / "lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (crowd.folder / "__editable___ours_0_1_finder.py").write_text(
        f"import sys\nMAPPING: dict[str, str] = {{'ours': {str(package)!r}}}\nNAMESPACES: dict[str, list[str]] = {{}}\n"
    )
    assert needs(crowd, "ours.Model").local == (LocalModule("ours", package),)


def test_editable_installs_that_hatchling_finds_by_calls_are_found(crowd, tmp_path):
    package = tmp_path / "elsewhere" / "source"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (crowd.folder / "_editable_impl_ours.py").write_text(
        f"F = object()\nF.install()\nF.map_module('ours', {str(package / '__init__.py')!r})\n"
    )
    assert needs(crowd, "ours.Model").local == (LocalModule("ours", package),)


def test_a_package_that_is_mapped_to_a_folder_of_another_name_travels_under_its_own(crowd, tmp_path):
    source = tmp_path / "project" / "source"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("import ours.part\n")
    (source / "part.py").write_text("import scipy\n")
    loaded = {"ours": str(source / "__init__.py"), "ours.part": str(source / "part.py")}
    found = needs(crowd, "ours.part.Model", loaded=loaded)
    assert found.local == (LocalModule("ours", source),)
    assert kept(found) == {"scipy": ("code/ours/part.py imports scipy",)}


def test_a_part_of_a_package_that_lies_elsewhere_comes_alone(crowd, tmp_path):
    package, built = tmp_path / "project" / "ours", tmp_path / "build" / "cp311"
    package.mkdir(parents=True)
    built.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    extension = built / "_fast.cpython-311-x86_64-linux-gnu.so"
    extension.write_bytes(b"")
    loaded = {"ours": str(package / "__init__.py"), "ours._fast": str(extension)}
    found = needs(crowd, "ours.Model", "ours._fast.Tree", loaded=loaded)
    assert found.local == (LocalModule("ours", package), LocalModule("ours._fast", extension))


def test_bare_folders_of_one_name_are_searched_for_the_module(crowd, tmp_path):
    for folder, name, source in (("a", "one", "import space.two\n"), ("b", "two", "import scipy\n")):
        (tmp_path / folder / "space").mkdir(parents=True)
        (tmp_path / folder / "space" / f"{name}.py").write_text(source)
    found = needs(crowd, "space.one.Model", roots=[tmp_path / "a", tmp_path / "b"])
    assert [module.path for module in found.local] == [tmp_path / "a" / "space", tmp_path / "b" / "space"]
    assert set(kept(found)) == {"scipy"}


def test_a_local_module_beside_the_installed_one_of_its_name(crowd, tmp_path):
    (tmp_path / "scipy.py").write_text("import pandas\n")
    loaded = {"scipy": str(crowd.folder / "scipy" / "__init__.py"), "_envelope_local.scipy": str(tmp_path / "scipy.py")}
    found = needs(crowd, "scipy.Model", "sklearn.pipeline.Pipeline", loaded=loaded, roots=[tmp_path])
    assert found.local == (LocalModule("scipy", tmp_path / "scipy.py"),)
    assert set(kept(found)) == {"pandas", "scikit-learn"}
    assert dropped(found)["scipy"] == "comes with scikit-learn"


def test_the_script_is_local_code(crowd, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import pandas\nfrom helpers import x\nif __name__ == '__main__':\n    import torch\n")
    (tmp_path / "helpers.py").write_text("import scipy\n")
    found = needs(crowd, "__main__.Model", main=script)
    assert found.local == (LocalModule("helpers", tmp_path / "helpers.py"), LocalModule("train", script))
    assert kept(found) == {
        "pandas": ("code/train.py imports pandas",),
        "scipy": ("code/helpers.py imports scipy",),
    }


def test_names_everything_that_is_not_here_at_once(crowd, tmp_path):
    with pytest.raises(InvalidInput, match="3 problems") as caught:
        needs(crowd, "gone.Model", "features.add", "sklearn.pipeline.Pipeline", "__main__.f", roots=[tmp_path])
    assert caught.value.code == "needs.unknown-module"
    said = str(caught.value)
    assert "pickle: gone.Model: found no module `gone` here" in said
    assert "pickle: features.add" in said
    assert "pickle: __main__.f" in said
    assert caught.value.hint


def test_code_in_a_zip_is_told(crowd, tmp_path):
    with pytest.raises(InvalidInput, match="no file of its own"):
        needs(crowd, "zipped.Model", loaded={"zipped": str(tmp_path / "code.zip" / "zipped.py")})


def test_tools_are_dropped_only_where_code_can_do_without(crowd, tmp_path):
    (tmp_path / "soft.py").write_text("try:\n    import pytest\nexcept ImportError:\n    pytest = None\n")
    (tmp_path / "hard.py").write_text("import pytest\n")
    soft = needs(crowd, "soft.f", roots=[tmp_path])
    assert kept(soft) == {}
    assert dropped(soft)["pytest"] == ("a test tool, and local code can do without it (code/soft.py imports pytest)")
    assert set(kept(needs(crowd, "hard.f", roots=[tmp_path]))) == {"pytest"}
    assert set(kept(needs(crowd, "pytest.Thing", "soft.f", roots=[tmp_path]))) == {"pytest"}


def test_imports_in_code_that_travels_by_value_count(crowd, tmp_path):
    (tmp_path / "mine.py").write_text("import torch\n")
    code = [
        ("pandas", "__main__", False),
        ("scipy.stats", "__main__", False),
        ("mine", "__main__", False),
        ("json", "__main__", False),
        ("pytest", "__main__", True),
        ("pyarrow", "pandas.core.made", False),
    ]
    found = needs(crowd, roots=[tmp_path], loaded={"mine": str(tmp_path / "mine.py")}, by_value=code)
    assert kept(found) == {
        "pandas": ("pickle: code in it imports pandas",),
        "scipy": ("pickle: code in it imports scipy.stats",),
        "torch": ("code/mine.py imports torch",),
    }


def test_made_up_files_of_loaded_modules_mislead_nobody(crowd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_ops.py").write_text("")
    loaded = {
        "torch": str(crowd.folder / "torch" / "__init__.py"),
        "torch.ops": "_ops.py",
        "torch.made": "/build/somewhere/torch/made.py",
    }
    found = needs(crowd, "torch.ops.thing", "torch.made.thing", loaded=loaded)
    assert found.local == ()
    assert set(kept(found)) == {"torch"}


def test_rules_replace_and_keep(crowd):
    crowd.install("opencv-python", "4.10", files={"cv2/__init__.py": ""})
    crowd.install("xgboost", "2.1", requires=["numpy"])
    found = needs(crowd, "cv2.dnn.Net", "xgboost.sklearn.XGBClassifier")
    assert set(kept(found)) == {"opencv-python-headless", "xgboost", "scikit-learn"}
    assert dropped(found)["opencv-python"].startswith("replaced by opencv-python-headless: ")
    assert kept(found)["scikit-learn"] == ("rule: xgboost's scikit-learn interface needs it and does not require it",)
    without = needs(crowd, "cv2.dnn.Net", "xgboost.core.Booster", rules=Rules())
    assert set(kept(without)) == {"opencv-python", "xgboost"}


def test_this_tool_is_never_a_need(crowd, tmp_path):
    (tmp_path / "etl.py").write_text("import model_envelope as me\nimport scipy\n")
    assert set(kept(needs(crowd, "etl.f", "model_envelope.runtime.Thing", roots=[tmp_path]))) == {"scipy"}


def test_cyclic_and_broken_local_code(crowd, tmp_path):
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_bytes(b"# -*- coding: latin-1 -*-\n# \xe9\nimport a\nimport scipy\nprint 'two'\n")
    found = needs(crowd, "a.f", roots=[tmp_path])
    assert [module.name for module in found.local] == ["a", "b"]
    assert set(kept(found)) == {"scipy"}
