import sys
from types import SimpleNamespace

import pytest

from model_envelope.foundation.errors import ToolMissing
from model_envelope.runtime.errors import ExitCode, Problem
from model_envelope.runtime.replay import MethodReplay
from model_envelope.workflows.replaying import disagreement
from model_envelope.workflows.verify import VerifyResult, interpreter_for

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
AGREES = MethodReplay("predict", True, (), 0.1)
DIFFERS = MethodReplay("score", False, (Problem("$[3]", "5.0", "6.0", "answer.differs"),), 0.1)


def packed_with(version):
    return SimpleNamespace(description=SimpleNamespace(python=version, implementation="CPython"))


def test_the_interpreter_of_this_process_where_the_version_is_the_same():
    assert str(interpreter_for(packed_with(SERIES))) == sys.executable


def test_an_interpreter_of_another_version_from_the_path(tmp_path, monkeypatch):
    shim = write_program(tmp_path / "shims" / "python2.1", "echo 'version 2.1 is not installed' >&2; exit 127")
    program = write_program(tmp_path / "bin" / "python2.1", """echo '["2.1.3", "cpython", "linux-x86_64"]'""")
    monkeypatch.setenv("PATH", f"{shim.parent}:{program.parent}")
    assert interpreter_for(packed_with("2.1")) == program


def write_program(path, script):
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_no_interpreter_of_that_version():
    with pytest.raises(ToolMissing, match=r"Python 2\.1") as raised:
        interpreter_for(packed_with("2.1"))
    assert raised.value.code == "python.missing"
    assert "--python" in raised.value.hint
    assert f"found cpython {SERIES}." in raised.value.hint


def test_agreement_is_no_error():
    assert disagreement([AGREES], "here") is None


def test_a_disagreement_names_the_method_and_the_place():
    error = disagreement([AGREES, DIFFERS], "in the clean room")
    assert error.exit_code == ExitCode.NO
    assert error.message == "`score` answered the sealed samples otherwise in the clean room"
    assert [str(problem) for problem in error.problems] == ["score: $[3]: found 5.0, expected 6.0"]


def test_files_that_differ_are_told_before_answers_that_do(tmp_path):
    result = VerifyResult(tmp_path, "0" * 64, 3, missing=("a",), extra=(), changed=(), here=(DIFFERS,))
    assert result.objection().code == "verify.files"
    assert "a file differs" in result.objection().message
