"""What the user's own rules make of the evidence."""

import sys

import pytest

from model_envelope.dependencies.needs import Seen, find_needs
from model_envelope.dependencies.own_rules import Asked, read_wishes, with_shipped
from model_envelope.foundation.errors import InvalidInput

STDLIB = frozenset(sys.stdlib_module_names)


@pytest.fixture
def crowd(environment):
    environment.install("boost", "3.0", requires=["numpy", "nccl", "shared"])
    environment.install("numpy", "2.1.0")
    environment.install("nccl", "2.21", requires=["nccl-runtime", "shared"])
    environment.install("nccl-runtime", "12.1")
    environment.install("shared", "1.0")
    environment.install("vision", "1.0", requires=["opencv-python"])
    environment.install("opencv-python", "4.10", files={"cv2/__init__.py": ""}, requires=["numpy"])
    environment.install("pytest", "8.0")
    return environment


def needs(environment, tmp_path, *named, keep=(), drop=(), replace=(), roots=()):
    installed = environment.read()
    wishes = read_wishes(Asked(tuple(keep), tuple(drop), tuple(replace)), [tmp_path])
    return find_needs(
        scan_globals=[tuple(name.rsplit(".", 1)) for name in named],
        seen=Seen(),
        flavors=["numpy"],
        installed=installed,
        stdlib=STDLIB,
        local_roots=roots,
        rules=with_shipped(wishes, installed),
    )


def kept(found):
    return {item.name: item.reasons for item in found.kept}


def dropped(found):
    return {item.name: item.reason for item in found.dropped}


def test_what_is_to_be_kept_is_a_need(crowd, tmp_path):
    found = needs(crowd, tmp_path, keep=["vision", "numpy"])
    assert kept(found) == {
        "numpy": ("signature: numpy", "asked for: --keep"),
        "vision": ("asked for: --keep",),
    }
    assert dropped(found)["opencv-python"] == "comes with vision"


def test_keeping_wins_over_what_is_shipped(crowd, tmp_path):
    (tmp_path / "soft.py").write_text("try:\n    import pytest, cv2\nexcept ImportError:\n    pass\n")
    assert set(kept(needs(crowd, tmp_path, "soft.f", roots=[tmp_path]))) == {"numpy", "opencv-python-headless"}
    found = needs(crowd, tmp_path, "soft.f", roots=[tmp_path], keep=["pytest", "opencv-python"])
    assert kept(found) == {
        "numpy": ("signature: numpy",),
        "opencv-python": ("code/soft.py imports cv2", "asked for: --keep"),
        "pytest": ("code/soft.py imports pytest", "asked for: --keep"),
    }
    assert found.left_out == {}


def test_what_is_to_be_dropped_goes_with_all_that_only_it_requires(crowd, tmp_path):
    found = needs(crowd, tmp_path, "boost.Booster", drop=["nccl", "pytest"])
    assert list(found.left_out) == ["nccl", "nccl-runtime", "pytest"]
    told = dropped(found)
    assert told["nccl"] == "asked for: --drop, though boost requires it"
    assert told["nccl-runtime"] == "only what is left out requires it"
    assert told["shared"] == "comes with boost"
    assert told["pytest"] == "asked for: --drop"


def test_local_code_is_no_reason_against_it(crowd, tmp_path):
    (tmp_path / "hard.py").write_text("import vision\n")
    found = needs(crowd, tmp_path, "hard.f", roots=[tmp_path], drop=["vision"])
    assert set(kept(found)) == {"numpy"}
    assert dropped(found)["vision"] == "asked for: --drop, though code/hard.py imports vision"
    assert dropped(found)["opencv-python"] == "not used by the model"


def test_what_the_pickle_or_the_signature_names_cannot_be_dropped(crowd, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        needs(crowd, tmp_path, "boost.Booster", "boost.Tree", drop=["boost", "numpy", "nccl"])
    assert caught.value.code == "rules.needed"
    said = str(caught.value)
    assert "`boost` and `numpy`" in said
    assert (
        "boost: found `asked for: --drop`, expected to be kept, or replaced (pickle: boost.Booster and 1 more)" in said
    )
    assert "(signature: numpy)" in said
    assert "--replace" in caught.value.hint


def test_of_two_variants_one_may_be_dropped(crowd, tmp_path):
    crowd.install("opencv-python-headless", "4.9", files={"cv2/__init__.py": ""})
    found = needs(crowd, tmp_path, "cv2.Net", drop=["opencv-python"])
    assert found.requirements == b"numpy==2.1.0\nopencv-python-headless==4.9\n"
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        needs(crowd, tmp_path, "cv2.Net", drop=["opencv-python", "opencv-python-headless"])


def test_a_replacement_takes_the_version_of_what_it_replaces(crowd, tmp_path):
    found = needs(crowd, tmp_path, "boost.Booster", replace=[("boost", "boost-cpu")])
    assert found.requirements == b"boost-cpu==3.0\nnumpy==2.1.0\n"
    assert kept(found)["boost-cpu"] == ("pickle: boost.Booster", "instead of boost: asked for: --replace")
    assert dropped(found)["boost"] == "replaced by boost-cpu: asked for: --replace"
    assert dropped(found)["nccl"] == "comes with boost-cpu"
    assert list(found.left_out) == ["boost"]


def test_a_replacement_may_have_a_version_of_its_own(crowd, tmp_path):
    found = needs(crowd, tmp_path, "boost.Booster", replace=[("boost", "other-boost>=1,<2")])
    assert found.requirements == b"numpy==2.1.0\nother-boost<2,>=1\n"
    assert found.locked({"other-boost": "1.7"}).kept[1].version == "1.7"
    free = needs(crowd, tmp_path, "boost.Booster", replace=[("boost", "unheard-of")])
    assert free.requirements == b"numpy==2.1.0\nunheard-of\n"


def test_a_replacement_that_is_needed_itself_has_all_reasons_and_the_version_that_was_said(crowd, tmp_path):
    crowd.install("opencv-python-headless", "4.9", files={"cv2/__init__.py": ""})
    found = needs(crowd, tmp_path, "cv2.Net", replace=[("opencv-python", "opencv-python-headless==4.8")])
    assert found.requirements == b"numpy==2.1.0\nopencv-python-headless==4.8\n"
    assert kept(found)["opencv-python-headless"] == (
        "pickle: cv2.Net",
        "instead of opencv-python: asked for: --replace",
    )


def test_what_only_comes_along_is_replaced_too_where_it_is_asked_for(crowd, tmp_path):
    assert set(kept(needs(crowd, tmp_path, "vision.Model"))) == {"numpy", "vision"}
    found = needs(crowd, tmp_path, "vision.Model", replace=[("opencv-python", "opencv-python-headless")])
    assert kept(found)["opencv-python-headless"] == (
        "instead of opencv-python, which comes with vision: asked for: --replace",
    )
    assert list(found.left_out) == ["opencv-python"]
    assert found.replaced == {"opencv-python": "opencv-python-headless"}


def test_a_shipped_replacement_that_is_to_be_dropped_is_not_made(crowd, tmp_path):
    found = needs(crowd, tmp_path, "cv2.Net", drop=["opencv-python-headless"])
    assert found.requirements == b"numpy==2.1.0\nopencv-python==4.10\n"
