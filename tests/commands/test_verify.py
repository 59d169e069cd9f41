import pickle

import pytest

from model_envelope.runtime import manifest


def test_an_envelope_as_sealed(cli, sealed):
    ran = cli("verify", sealed)
    assert ran.code == 0, ran.err
    digest = manifest.digest((sealed / manifest.NAME).read_bytes())
    assert ran.out == f"{sealed.name}: as sealed, 10 files, digest {digest}\n"
    assert ran.err.startswith("✓ 10 files are as sealed")


def test_json(cli, sealed):
    result = cli("verify", sealed, "--json").result
    assert result.keys() == {
        *("path", "digest", "files", "missing", "extra", "changed", "here", "clean", "exposed", "apart"),
    }  # fmt: skip
    assert (result["missing"], result["extra"], result["changed"]) == ([], [], [])


def test_every_missing_extra_and_changed_file_is_listed(cli, sealed):
    (sealed / "model" / "model.pkl").write_bytes(b"other")
    (sealed / "samples" / "predict.input.json").unlink()
    (sealed / "code" / "more.py").write_text("")
    ran = cli("verify", sealed)
    assert ran.code == 3
    assert ran.out == ""
    assert "error[verify.files]: " in ran.err
    assert "is not what was sealed: 3 files differ" in ran.err
    assert "  samples/predict.input.json: found nothing, expected the sealed file\n" in ran.err
    assert "  model/model.pkl: found other bytes, expected the sealed ones\n" in ran.err
    assert "  code/more.py: found a file, expected nothing: it was not sealed\n" in ran.err

    ran = cli("verify", sealed, "--json")
    assert ran.code == 3
    assert ran.error["code"] == "verify.files"
    assert [problem["path"] for problem in ran.error["problems"]] == [
        "samples/predict.input.json", "model/model.pkl", "code/more.py",
    ]  # fmt: skip
    assert ran.document["result"]["changed"] == ["model/model.pkl"]


def test_a_changed_description_is_told_as_that(cli, sealed):
    (sealed / "envelope.json").write_text("{")
    ran = cli("verify", sealed)
    assert ran.code == 3
    assert "envelope.json: found other bytes" in ran.err


def test_what_grows_is_no_difference(cli, sealed):
    (sealed / "ledger.jsonl").write_text("")
    (sealed / "provenance").mkdir()
    (sealed / "provenance" / "x.json").write_text("{}")
    assert cli("verify", sealed).code == 0


def test_a_folder_that_is_no_envelope(cli, tmp_path):
    for path, found in ((tmp_path, "it has no MANIFEST.sha256"), (tmp_path / "none", "there is nothing")):
        ran = cli("verify", path)
        assert ran.code == 1
        assert found in ran.err


def test_replays_the_samples_and_leaves_no_trace(cli, sealed):
    ran = cli("verify", sealed, "--samples", "--trust")
    assert ran.code == 0, ran.err
    assert "✓ 2 of 2 methods answer as sealed" in ran.err
    assert cli("verify", sealed).code == 0
    result = cli("verify", sealed, "--samples", "--trust", "--json").result
    assert [(each["method"], each["agrees"]) for each in result["here"]] == [("predict", True), ("total", True)]


def test_answers_that_differ_are_a_no_that_names_each(cli, sealed, seal):
    (sealed / "samples" / "predict.output.json").write_text("[2.0, 6.0]")
    seal(sealed)
    ran = cli("verify", sealed, "--samples", "--trust")
    assert ran.code == 3
    assert "error[replay.differs]: `predict` answered the sealed samples otherwise here" in ran.err
    assert "predict: $[1]: found 5.0" in ran.err


def test_an_envelope_of_a_stranger_is_not_run(cli, sealed, tmp_path, seal):
    marker = tmp_path / "ran"

    class Harm:
        def __reduce__(self):
            return (eval, (f"open({str(marker)!r}, 'w')",))

    (sealed / "model" / "model.pkl").write_bytes(pickle.dumps(Harm()))
    seal(sealed)
    ran = cli("verify", sealed, "--samples")
    assert ran.code == 1
    assert "error[trust.unknown]" in ran.err
    assert "--trust" in ran.err
    assert not marker.exists()


def test_nothing_is_run_when_a_file_differs(cli, sealed):
    (sealed / "code" / "doubling" / "__init__.py").write_text("raise SystemExit('ran')")
    ran = cli("verify", sealed, "--samples", "--trust")
    assert ran.code == 3
    assert "code/doubling/__init__.py: found other bytes" in ran.err


def test_no_samples_to_replay(cli, make_sealed):
    ran = cli("verify", make_sealed(samples=False), "--samples", "--trust")
    assert ran.code == 1
    assert "error[replay.no-samples]" in ran.err


def test_no_lock_for_a_clean_room(cli, make_sealed):
    ran = cli("verify", make_sealed(lock=False), "--clean", "--trust")
    assert ran.code == 1
    assert "error[verify.not-locked]" in ran.err
    assert "envelope lock" in ran.err


def test_a_model_that_ends_its_process(cli, sealed, seal):
    (sealed / "code" / "doubling" / "__init__.py").write_text("import os; os._exit(7)")
    seal(sealed)
    ran = cli("verify", sealed, "--samples", "--trust")
    assert ran.code == 4
    assert "error[replay.failed]" in ran.err
    assert "ended with 7" in ran.err


def test_an_interpreter_that_is_not_there_is_a_wrong_use(cli, sealed):
    ran = cli("verify", sealed, "--samples", "--python", "python9.9", "--json")
    assert ran.code == 2
    assert "there is no program `python9.9`" in ran.error["message"]


@pytest.mark.parametrize("word", ["python3", "{tmp}/link"])
def test_an_interpreter_by_name_or_path(cli, sealed, tmp_path, word):
    import sys

    (tmp_path / "link").symlink_to(sys.executable)
    ran = cli("verify", sealed, "--samples", "--trust", "--python", word.format(tmp=tmp_path))
    assert ran.code == 0, ran.err


def test_replays_in_a_clean_room_made_from_the_lock(cli, sealed):
    ran = cli("verify", sealed, "--clean", "--trust")
    assert ran.code == 0, ran.err
    assert "✓ 2 of 2 methods answer as sealed in the clean room" in ran.err
    assert cli("verify", sealed).code == 0
