import pytest

from model_envelope.workflows.new import projects


def test_lists_the_templates_when_none_is_named(cli):
    ran = cli("new")
    assert ran.code == 0
    assert "flights  Does a flight from New York arrive 15 minutes late or more?\n" in ran.out
    listed = cli("new", "--json").result["projects"]
    assert {"name": "flights", "summary": "Does a flight from New York arrive 15 minutes late or more?"} in listed


@pytest.mark.parametrize("project", [project.name for project in projects()])
def test_every_project_is_written_and_its_path_printed(cli, tmp_path, project):
    ran = cli("new", project, "-o", tmp_path, "--name", "mine")
    assert ran.code == 0, ran.err
    assert ran.out == f"{tmp_path / 'mine'}\n"
    assert "{{" not in (tmp_path / "mine" / "README.md").read_text()
    assert f"Next: {tmp_path / 'mine' / 'README.md'}" in ran.err


def test_json_names_the_files(cli, tmp_path):
    result = cli("new", "flights", "-o", tmp_path, "--json").result
    assert result.keys() == {"project", "path", "files"}
    assert result["path"] == str(tmp_path / "flights")
    assert {"README.md", "train.py", "features.py", "etl.py"} <= set(result["files"])


def test_a_folder_that_exists_is_left_alone(cli, tmp_path):
    (tmp_path / "flights").mkdir()
    ran = cli("new", "flights", "-o", tmp_path)
    assert ran.code == 1
    assert "exists already" in ran.err
    assert list((tmp_path / "flights").iterdir()) == []


def test_a_template_of_ones_own(cli, tmp_path):
    home = tmp_path / "own"
    folder = home / "{{cookiecutter.slug}}"
    folder.mkdir(parents=True)
    (home / "cookiecutter.json").write_text('{"slug": "mine", "greeting": "hello"}')
    (folder / "note.txt").write_text("{{ cookiecutter.greeting }}")
    ran = cli("new", home, "-o", tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "mine" / "note.txt").read_text() == "hello"
    assert "Next" not in ran.err


def test_an_unknown_project_is_answered_with_those_that_are_known(cli):
    error = cli("new", "fligths", "--json").error
    assert error["code"] == "new.unknown-project"
    assert "`flights`" in error["message"]


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "trailing-"])
def test_a_name_that_makes_no_folder_is_refused(cli, tmp_path, name):
    ran = cli("new", "flights", "-o", tmp_path / "out", "--name", name)
    assert ran.code == 1
    assert "error[new.name]" in ran.err
    assert not (tmp_path / "out").exists()
