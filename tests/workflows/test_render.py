import pytest
from handmade import make_envelope

from model_envelope.foundation.errors import Answered, InvalidInput, Refused
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.render import choose_base_image, render


def test_the_folder_is_written_once_and_given_again(scorer, tmp_path):
    first = render(scorer, into=tmp_path / "out", base_image="base:1")
    assert (first.path / "Dockerfile").read_text().count("ARG BASE_IMAGE=base:1\n") == 1
    assert first.command.endswith(f"docker build --tag scorer:{read_envelope(scorer).short_digest} {first.path}")
    assert render(scorer, into=tmp_path / "out", base_image="base:1") == first
    assert [path.name for path in (tmp_path / "out").iterdir()] == [first.path.name]


def test_a_folder_with_something_else_is_left_alone(scorer, tmp_path):
    first = render(scorer, into=tmp_path / "out", base_image="base:1")
    with pytest.raises(Refused) as caught:
        render(scorer, into=tmp_path / "out", base_image="base:2")
    assert caught.value.code == "target.exists"
    assert "base:1" in (first.path / "Dockerfile").read_text()


def test_a_tampered_envelope_is_refused_with_every_file_named(scorer, tmp_path):
    (scorer / "model" / "model.pkl").write_bytes(b"x")
    (scorer / "samples" / "greet.input.json").unlink()
    (scorer / "code" / "more.py").write_text("")
    with pytest.raises(Answered) as caught:
        render(scorer, into=tmp_path / "out")
    assert {problem.path: problem.found for problem in caught.value.problems} == {
        "model/model.pkl": "changed",
        "samples/greet.input.json": "missing",
        "code/more.py": "extra",
    }
    assert not (tmp_path / "out").exists()


def test_the_base_image_comes_from_the_nearest_setting(tmp_path):
    files = read_envelope(make_envelope(tmp_path, python="3.12"))
    project = tmp_path / "pyproject.toml"
    assert choose_base_image(files, None, {}, tmp_path) == "python:3.12-slim"
    project.write_text('[tool.envelope]\nbase-image = "company/python:{python}"\n')
    assert choose_base_image(files, None, {}, tmp_path) == "company/python:3.12"
    assert choose_base_image(files, None, {"ENVELOPE_BASE_IMAGE": "from-env:1"}, tmp_path) == "from-env:1"
    assert choose_base_image(files, "named:1", {"ENVELOPE_BASE_IMAGE": "from-env:1"}, tmp_path) == "named:1"


@pytest.mark.parametrize("text", ["[tool.envelope]\nbase-image = 3\n", "[tool", "\udcff"])
def test_a_setting_that_makes_no_sense_is_said(tmp_path, text):
    files = read_envelope(make_envelope(tmp_path))
    (tmp_path / "pyproject.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput) as caught:
        choose_base_image(files, None, {}, tmp_path)
    assert caught.value.code == "settings.malformed"


def test_with_arrow_the_folder_is_another_one_and_its_lock_has_pyarrow(scorer, tmp_path):
    plain, more = render(scorer, into=tmp_path), render(scorer, into=tmp_path, options=["arrow"])
    assert more.path.name == f"{plain.path.name}-arrow"
    assert "pyarrow==" in (more.path / "requirements.lock").read_text()
    assert "pyarrow==" not in (plain.path / "requirements.lock").read_text()
    assert 'io.modelenvelope.options="arrow"' in (more.path / "Dockerfile").read_text()
    assert "io.modelenvelope.options" not in (plain.path / "Dockerfile").read_text()
