"""Modules that a user names: local ones, those of distributions, and what is neither."""

import sys

import pytest

from model_envelope.dependencies.asked_modules import read_code_settings
from model_envelope.dependencies.needs import LocalModule, Seen, find_needs
from model_envelope.foundation.errors import InvalidInput


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "plugins" / "deep").mkdir(parents=True)
    (folder / "plugins" / "__init__.py").write_text("")
    (folder / "plugins" / "fast.py").write_text("from plugins.deep import rates\n")
    (folder / "plugins" / "deep" / "__init__.py").write_text("")
    (folder / "plugins" / "deep" / "rates.py").write_text("import scipy\n")
    (folder / "plugins" / "slow.py").write_text("import pandas\n")
    (folder / "single.py").write_text("import six\n")
    return folder


@pytest.fixture
def installed(environment):
    for name in ("scipy", "pandas"):
        environment.install(name, files={f"{name}/__init__.py": "", f"{name}/io.py": ""})
    environment.install("six", files={"six.py": ""})
    return environment


def find(installed, project, *words):
    settings = read_code_settings(words, None, [project])
    return find_needs(
        scan_globals=[],
        seen=Seen({}),
        flavors=[],
        installed=installed.read(),
        stdlib=frozenset(sys.stdlib_module_names),
        local_roots=[project, *settings.folders],
        modules=settings.modules,
    )


@pytest.mark.parametrize(
    ("word", "local", "kept"),
    [
        ("plugins.fast", ["plugins"], ["scipy"]),
        ("plugins", ["plugins"], ["pandas", "scipy"]),
        ("plugins.deep", ["plugins"], ["scipy"]),
        ("./plugins/slow.py", ["plugins"], ["pandas"]),
        ("plugins/deep/", ["plugins"], ["scipy"]),
        ("single.py", ["single"], ["six"]),
        ("pandas.io", [], ["pandas"]),
    ],
)
def test_what_is_named_travels_with_all_that_it_imports(installed, project, monkeypatch, word, local, kept):
    monkeypatch.chdir(project)
    found = find(installed, project, word)
    assert [module.name for module in found.local] == local
    assert [item.name for item in found.kept] == kept


def test_the_reason_is_that_it_was_asked_for(installed, project):
    assert find(installed, project, "pandas.io").kept[0].reasons == ("asked for: --module pandas.io",)


def test_a_module_in_another_folder_is_named_by_its_path(installed, project, tmp_path):
    found = find(installed, tmp_path / "elsewhere", str(project / "plugins" / "fast.py"))
    assert found.local == (LocalModule("plugins", project / "plugins"),)


def test_all_that_is_not_here_is_named_at_once(installed, project):
    with pytest.raises(InvalidInput, match="4 problems") as caught:
        find(installed, project, "plugin", "plugins.none", "json", "pandas.none")
    said = str(caught.value)
    assert caught.value.code == "module.unknown"
    assert "--module plugin: found no module `plugin` here" in said
    assert "did you mean `plugins`?" in said
    assert f"found no `plugins.none` in `{project / 'plugins'}`" in said
    assert "--module json: found a module of Python itself" in said


@pytest.mark.parametrize(("word", "there"), [("./none.py", "nothing"), ("./data.csv", "a file")])
def test_a_path_that_is_no_module_is_said_before_anything_runs(project, monkeypatch, word, there):
    (project / "data.csv").write_text("")
    monkeypatch.chdir(project)
    with pytest.raises(InvalidInput, match=f"there is {there} at") as caught:
        read_code_settings([word], None, [project])
    assert caught.value.code == "module.missing"


def test_of_two_files_with_one_name_the_named_one_must_be_found(installed, project, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "single.py").write_text("")
    with pytest.raises(InvalidInput, match="1 problem") as caught:
        find(installed, project, str(tmp_path / "other" / "single.py"))
    assert f"`{project / 'single.py'}`, which comes first" in str(caught.value)


def test_a_project_says_it_once(installed, project, tmp_path):
    (project / "pyproject.toml").write_text(
        '[tool.envelope]\nmodules = ["plugins", "./single.py"]\ncode-limit = "2GB"\n'
    )
    settings = read_code_settings((), None, [tmp_path, project])
    assert [module.name for module in settings.modules] == ["plugins", "single"]
    assert settings.limit == 2 * 10**9
    assert read_code_settings((), "1MB", [project]).limit == 10**6
    assert read_code_settings(("pandas",), 5, [project], spelled="{}=").modules[0].said == "modules=pandas"


@pytest.mark.parametrize("line", ['modules = "plugins"', "modules = [1]", "code-limit = true", 'code-limit = "much"'])
def test_settings_of_another_kind_are_said(project, line):
    (project / "pyproject.toml").write_text(f"[tool.envelope]\n{line}\n")
    with pytest.raises(InvalidInput) as caught:
        read_code_settings((), None, [project])
    assert str(project / "pyproject.toml") in caught.value.message
