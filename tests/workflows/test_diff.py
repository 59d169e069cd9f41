import pytest
from handmade import SCORER_METHODS, make_envelope, seal

from model_envelope.foundation.errors import Answered, InvalidInput
from model_envelope.runtime.errors import ExitCode, InvalidEnvelope
from model_envelope.store.compatibility import Verdict
from model_envelope.workflows.diff import FileChanges, PackageChange, diff


def with_requirements(folder, text, **options):
    path = make_envelope(folder, **options)
    (path / "env" / "requirements.in").write_text(text)
    seal(path)
    return path


def test_requirements_are_compared_where_not_both_are_locked(tmp_path):
    text = "# direct needs\nNumPy==2.1.0\npandas==2.2\nscipy @ https://x.test/scipy.whl\nnonsense !\n"
    old = with_requirements(tmp_path / "old", text, lock=None)
    new = with_requirements(tmp_path / "new", "numpy==2.2.0\npolars==1.0 ; python_version < '4'\nnonsense !\n")
    found = diff(old, new).dependencies
    assert found.source == "env/requirements.in"
    assert found.changed == (PackageChange("numpy", "2.1.0", "2.2.0"),)
    assert found.added == {"polars": '1.0 ; python_version < "4"'}
    assert found.removed == {"pandas": "2.2", "scipy": "https://x.test/scipy.whl"}


def test_locks_are_compared_version_by_version(tmp_path):
    def lock(*pins):
        return "".join(f"{pin} --hash=sha256:{'a' * 64}\n" for pin in pins).encode()

    old = make_envelope(
        tmp_path / "old", lock=lock("a==1.0", "b==1.0 ; sys_platform == 'linux'", "b==2.0 ; sys_platform == 'win32'")
    )
    new = make_envelope(tmp_path / "new", lock=lock("a==1.1", "c==3.0", "b==1.0 ; sys_platform == 'linux'"))
    found = diff(old, new).dependencies
    assert found.source == "env/requirements.lock"
    assert found.added == {"c": "3.0"}
    assert found.removed == {}
    assert [(item.name, item.new) for item in found.changed] == [("a", "1.1"), ("b", '1.0 ; sys_platform == "linux"')]


def test_files_by_their_manifests(tmp_path):
    old, new = make_envelope(tmp_path / "old"), make_envelope(tmp_path / "new")
    (new / "attachments").mkdir()
    (new / "attachments" / "card.md").write_text("hello")
    (new / "samples" / "greet.input.json").unlink()
    (new / "samples" / "predict.output.json").write_text("[1]")
    seal(new)
    found = diff(old, new)
    assert found.files == FileChanges(
        ("attachments/card.md",), ("samples/greet.input.json",), ("samples/predict.output.json",)
    )
    assert not found.identical
    assert found.signature.verdict is Verdict.IDENTICAL
    assert found.objection() is None


def test_a_method_that_is_gone_is_an_objection(tmp_path):
    methods = {name: method for name, method in SCORER_METHODS.items() if name != "greet"}
    old, new = make_envelope(tmp_path / "old"), make_envelope(tmp_path / "new", methods=methods, samples={})
    objection = diff(old, new).objection()
    assert isinstance(objection, Answered)
    assert objection.exit_code is ExitCode.NO
    assert [str(problem) for problem in objection.problems] == ["greet: found gone, expected a method, as before"]


def test_what_is_no_envelope(tmp_path, scorer):
    with pytest.raises(InvalidEnvelope) as caught:
        diff(scorer, tmp_path / "nowhere")
    assert caught.value.code == "envelope.missing"
    (scorer / "env" / "requirements.lock").write_bytes(b"numpy\n")
    with pytest.raises(InvalidInput) as malformed:
        diff(scorer, scorer)
    assert malformed.value.code == "lock.malformed"
