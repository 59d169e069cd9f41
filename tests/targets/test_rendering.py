import json
import os

import pytest

from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.targets.rendering import generate, templates_dir


@pytest.fixture
def template(tmp_path):
    folder = tmp_path / "template"
    inner = folder / "{{cookiecutter.slug}}"
    (inner / "{{cookiecutter.part}}").mkdir(parents=True)
    (folder / "cookiecutter.json").write_text(
        json.dumps({"slug": "thing", "title": "The {{ cookiecutter.slug }}", "part": "inside", "kind": ["a", "b"]})
    )
    (inner / "README.md").write_text("# {{ cookiecutter.title }}, {{ cookiecutter.kind }}\n")
    (inner / "{{cookiecutter.part}}" / "code.py").write_text('braces = "{{ kept }}"\n')
    (inner / "run").write_text("#!/bin/sh\n")
    (inner / "run").chmod(0o755)
    (inner / "__pycache__").mkdir()
    (inner / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"{{ broken")
    return folder


def test_variables_are_filled_in_and_python_is_copied(template, tmp_path):
    made = generate(template, {"slug": "other"}, tmp_path / "out")
    assert made == tmp_path / "out" / "other"
    assert (made / "README.md").read_text() == "# The other, a\n"
    assert (made / "inside" / "code.py").read_text() == 'braces = "{{ kept }}"\n'
    names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*"))
    assert names == ["README.md", "inside", "inside/code.py", "run"]


def test_modes_do_not_depend_on_the_umask(template, tmp_path):
    found = []
    for umask in (0o077, 0o002):
        before = os.umask(umask)
        try:
            made = generate(template, {}, tmp_path / f"out{umask}")
        finally:
            os.umask(before)
        found.append({path.name: path.stat().st_mode & 0o777 for path in [made, *made.rglob("*")]})
    assert found[0] == found[1]
    assert found[0] == {"thing": 0o755, "README.md": 0o644, "inside": 0o755, "code.py": 0o644, "run": 0o755}


def test_nothing_is_written_to_home_and_nothing_stays_but_the_folder(template, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / ".cookiecutterrc").write_text("default_context: {slug: wrong}\n")
    generate(template, {}, tmp_path / "out")
    assert [path.name for path in home.iterdir()] == [".cookiecutterrc"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thing"]


def test_hooks_of_a_template_are_not_run(template, tmp_path):
    (template / "hooks").mkdir()
    (template / "hooks" / "pre_gen_project.py").write_text("raise SystemExit('it was run')\n")
    assert generate(template, {}, tmp_path / "out").is_dir()


def fails(template, tmp_path, code, context=None, kind=InvalidInput):
    into = tmp_path / "out"
    into.mkdir(exist_ok=True)
    before = sorted(into.rglob("*"))
    with pytest.raises(kind) as caught:
        generate(template, context or {}, into)
    assert caught.value.code == code
    assert sorted(into.rglob("*")) == before
    return caught.value


def test_an_undefined_variable_is_named_with_its_file(template, tmp_path):
    inner = template / "{{cookiecutter.slug}}"
    (inner / "Dockerfile").write_text("FROM {{ cookiecutter.base }}\n")
    error = fails(template, tmp_path, "template.undefined-variable")
    assert "Dockerfile" in error.message
    assert "base" in error.message


def test_a_syntax_error_is_named_with_its_place(template, tmp_path):
    (template / "{{cookiecutter.slug}}" / "notes.txt").write_text("fine\n{% if %}\n")
    assert "notes.txt, line 2" in fails(template, tmp_path, "template.malformed").message


@pytest.mark.parametrize("part", ["../outside", "/tmp/outside", "..", "a/b", ""])
def test_a_path_that_climbs_out_is_refused(template, tmp_path, part):
    fails(template, tmp_path, "template.path", {"part": part})
    fails(template, tmp_path, "template.path", {"slug": part})


def test_a_link_in_a_template_is_refused(template, tmp_path):
    (template / "{{cookiecutter.slug}}" / "secret").symlink_to("/etc/hostname")
    fails(template, tmp_path, "template.link")


def test_a_folder_that_exists_is_refused(template, tmp_path):
    (tmp_path / "out" / "thing").mkdir(parents=True)
    fails(template, tmp_path, "template.exists", kind=Refused)


def test_a_folder_that_is_no_template_is_refused(tmp_path):
    fails(tmp_path, tmp_path, "template.malformed")


def test_the_templates_of_this_project_are_found():
    assert (templates_dir() / "targets" / "service" / "target.toml").is_file()
