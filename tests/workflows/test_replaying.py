import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from models import dump, write_module

from model_envelope.foundation.errors import ToolMissing
from model_envelope.runtime import machine as machines
from model_envelope.runtime.comparing import LAST_BITS
from model_envelope.runtime.errors import AnswersDiffer, ExitCode, Problem
from model_envelope.runtime.machine import Machine
from model_envelope.runtime.replay import MethodReplay
from model_envelope.workflows import verify as verifying
from model_envelope.workflows.pack import SampleFile, pack
from model_envelope.workflows.replaying import Replayed, disagreement
from model_envelope.workflows.verify import VerifyResult, interpreter_for, verify

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


HERE = Machine("x86_64 Fast CPU", ("avx2", "avx512f"), 4, ("libopenblas.so.0",))
ROUNDED = MethodReplay("score", False, (Problem("$[3]", "0.30000000000000004", "0.3", LAST_BITS),), 0.1)


@pytest.mark.parametrize(
    ("sealed_on", "said"),
    [
        (replace(HERE, cpu="x86_64 Old CPU"), "the CPU is x86_64 Fast CPU, and was x86_64 Old CPU"),
        (replace(HERE, features=("avx2",)), "the CPU offers other instruction sets (avx512f)"),
        (replace(HERE, libraries=("libmkl_rt.so.2",)), "the BLAS is libopenblas.so.0, and was libmkl_rt.so.2"),
        (replace(HERE, threads=8), "it has 4 threads, and had 8"),
    ],
)
def test_last_bits_agree_on_another_machine_and_that_is_said(sealed_on, said):
    judged = Replayed((AGREES, ROUNDED), HERE).judged(sealed_on)
    assert disagreement(judged.replays, "here", apart=judged.apart) is None
    assert [item.rounded for item in judged.replays] == [False, True]
    (remark,) = judged.remarks()
    assert remark == (
        "`score` answered otherwise in the last bits alone, which counts as the same on another machine: " + said
    )


@pytest.mark.parametrize("sealed_on", [HERE, None])
def test_last_bits_on_the_same_machine_are_a_no_with_words_of_their_own(sealed_on):
    judged = Replayed((ROUNDED,), HERE).judged(sealed_on)
    error = disagreement(judged.replays, "here", apart=judged.apart)
    assert error.code == "replay.last-bits"
    assert error.message == "`score` answered the sealed samples otherwise here, in the last bits alone"


def test_a_wrong_answer_is_one_on_any_machine_and_the_machine_is_told():
    judged = Replayed((DIFFERS, ROUNDED), HERE).judged(replace(HERE, cpu="x86_64 Old CPU"))
    error = disagreement(judged.replays, "here", apart=judged.apart)
    assert error.code == "replay.differs"
    assert error.message == "`score` answered the sealed samples otherwise here"
    assert len(error.problems) == 1
    assert "the CPU is x86_64 Fast CPU, and was x86_64 Old CPU" in error.hint


def test_fewer_libraries_make_no_other_machine():
    more = replace(HERE, libraries=(*HERE.libraries, "libmkl_rt.so.2"))
    assert HERE.apart_from(more) == ()
    assert more.apart_from(HERE) != ()


def test_this_machine_is_what_it_is():
    machine = Machine.of_this_process()
    assert machine.threads >= 1
    assert machine.cpu
    assert Machine.from_document(json.loads(json.dumps(machine.to_document()))) == machine
    assert machine.apart_from(machine) == ()


def test_of_a_machine_that_was_not_noted_nothing_is_known():
    assert Machine.from_document({"system": "Linux", "release": "6.1", "architecture": "x86_64"}) is None


ROUNDS = """
    import sys

    class Model:
        def predict(self, x: float) -> complex:
            return complex(x, 0.3 if {there} else 0.1 + 0.2)
"""


def test_an_exact_answer_on_another_machine(tmp_path, monkeypatch):
    write_module(tmp_path, "rounds", ROUNDS.format(there="'rooms' in sys.prefix"))
    dump(tmp_path, "rounds.Model()", "model.pkl")
    (tmp_path / "x.json").write_text('{"x": 1.5}')
    samples = SampleFile(tmp_path / "x.json", "x.json")
    envelope = pack(tmp_path / "model.pkl", samples=samples, into=tmp_path / "out", prove=False).path
    with pytest.raises(AnswersDiffer, match="in the last bits alone") as caught:
        pack(tmp_path / "model.pkl", samples=samples, into=tmp_path / "out")
    assert caught.value.code == "replay.last-bits"
    assert "1 ULP" in str(caught.value)
    assert verify(envelope, clean=True).objection().code == "replay.last-bits"
    plain = verifying.read_provenance

    def elsewhere(files):
        found = plain(files)
        return {**found, "machine": {**found["machine"], "cpu": "x86_64 Old CPU"}}

    monkeypatch.setattr(verifying, "read_provenance", elsewhere)
    said = []
    result = verify(envelope, clean=True, report=said.append)
    assert result.objection() is None
    assert result.clean[0].rounded
    assert any("counts as the same on another machine: the CPU is" in getattr(event, "text", "") for event in said)


def test_the_cpu_and_the_libraries_of_linear_algebra_are_read_from_linux(tmp_path, monkeypatch):
    cpu, maps = tmp_path / "cpuinfo", tmp_path / "maps"
    cpu.write_text("processor\t: 0\nmodel name\t: A  Fast CPU\nflags\t\t: fpu avx2 fma syscall\n\nprocessor\t: 1\n")
    maps.write_text(
        "7f00-7f01 r-xp 00000000 08:01 12 /env/numpy.libs/libscipy_openblas64_-32a4b2a6.so\n"
        "7f02-7f03 r-xp 00000000 08:01 13 /env/scipy/linalg/_fblas.cpython-311-x86_64-linux-gnu.so\n"
        "7f04-7f05 r-xp 00000000 08:01 14 /opt/conda/lib/libmkl_core.so.2\n"
        "7f06-7f07 rw-p 00000000 00:00 0\n"
    )
    monkeypatch.setattr(machines, "_CPU", cpu)
    monkeypatch.setattr(machines, "_MAPS", maps)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = Machine.of_this_process()
    assert found.cpu.endswith(" A Fast CPU")
    assert found.features == ("avx2", "fma")
    assert found.threads == 3
    assert found.libraries == ("libmkl_core.so.2", "libscipy_openblas64_-32a4b2a6.so")
