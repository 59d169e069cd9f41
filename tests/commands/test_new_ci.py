import json
import subprocess
import sys
from pathlib import Path

import pytest
from runners import read, scripts

from model_envelope import __version__

TOOLS = Path(sys.executable).parent
GITHUB, GITLAB = ".github/workflows/envelope.yml", ".gitlab-ci.yml"
FILES = {"github": GITHUB, "gitlab": GITLAB}


def git(folder, *words):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "Our flights"
    folder.mkdir()
    (folder / "train.py").write_text("")
    return folder


@pytest.fixture(params=FILES)
def workflow(request, cli, project):
    ran = cli("new", "ci", "-o", project, "--for", request.param)
    assert ran.code == 0, ran.err
    return project / FILES[request.param]


def tool(*words, cwd=None):
    done = subprocess.run(
        [TOOLS / words[0], *words[1:]], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", FILES)
def test_it_writes_one_file_and_prints_its_path(cli, project, service):
    ran = cli("new", "ci", "-o", project, "--for", service)
    assert ran.out == f"{project / FILES[service]}\n"
    assert "Next: commit it." in ran.err
    written = [path for path in project.rglob("*") if path.is_file() and path.name != "train.py"]
    assert written == [project / FILES[service]]


def test_json_names_the_project_and_the_file(cli, project):
    result = cli("new", "ci", "-o", project, "--for", "github", "--json").result
    assert result == {"project": "ci", "path": str(project), "files": [GITHUB]}
    assert "ci" in [listed["name"] for listed in cli("new", "--json").result["projects"]]


@pytest.mark.parametrize(
    ("remote", "file"),
    [
        ("git@github.com:team/flights.git", GITHUB),
        ("https://x-access-token:hidden-word@github.com/team/flights", GITHUB),
        ("ssh://git@gitlab.example.com:2222/team/flights.git", GITLAB),
        ("https://gitlab.com/team/flights.git", GITLAB),
    ],
)
def test_whose_workflow_it_is_shows_in_the_remote(cli, project, remote, file):
    git(project, "init", "--quiet")
    git(project, "remote", "add", "origin", remote)
    assert cli("new", "ci", "-o", project).out == f"{project / file}\n"


@pytest.mark.parametrize("remote", [None, "https://me:hidden-word@git.example.com/github/gitlab.git"])
def test_where_the_remote_says_nothing_it_is_asked_for(cli, project, remote):
    git(project, "init", "--quiet")
    if remote:
        git(project, "remote", "add", "origin", remote)
    ran = cli("new", "ci", "-o", project)
    assert ran.code == 1
    assert "error[new.ci-service]" in ran.err
    assert "`--for github` or `--for gitlab`" in ran.err
    assert "hidden-word" not in ran.err
    assert cli("new", "ci", "-o", project, "--for", "jenkins", "--json").error["code"] == "new.ci-service"
    assert cli("new", "flights", "-o", project, "--for", "github").code == 2


@pytest.mark.parametrize("service", FILES)
def test_a_workflow_that_is_there_is_left_alone(cli, project, service):
    file = project / FILES[service]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    ran = cli("new", "ci", "-o", project, "--for", service)
    assert ran.code == 1
    assert "error[new.exists]" in ran.err
    assert "--output" in ran.err
    assert file.read_text() == "mine"


def test_it_names_what_lies_in_the_project(cli, project):
    for name in ("forest.pkl", "samples.csv"):
        (project / name).write_text("")
    git(project, "init", "--quiet")
    git(project, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    cli("new", "ci", "-o", project, "--for", "github", "--name", "delays")
    document = read(project / GITHUB)
    found = {name: document["env"][name] for name in ("NAME", "MODEL", "SAMPLES", "TOOL")}
    assert found == {
        "NAME": "delays",
        "MODEL": "forest.pkl",
        "SAMPLES": "samples.csv",
        "TOOL": f"model-envelope[uv]=={__version__}",
    }
    assert document["on"]["push"]["branches"] == ["trunk"]
    assert document["jobs"]["push"]["if"].endswith("github.ref == 'refs/heads/trunk'")
    assert cli("new", "ci", "-o", project, "--for", "gitlab", "--name", "No Name").code == 1


def test_without_a_name_the_folder_gives_one(workflow):
    document = read(workflow)
    assert (document.get("env") or document["variables"])["NAME"] == "our-flights"


def test_a_project_without_a_training_script_has_none_in_its_workflow(cli, tmp_path):
    for service, file in FILES.items():
        cli("new", "ci", "-o", tmp_path / service, "--for", service)
        assert "train.py" not in (tmp_path / service / file).read_text()
        tool("check-jsonschema", "--builtin-schema", SCHEMAS[service], tmp_path / service / file)


SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def test_it_is_what_the_services_take(workflow):
    service = next(name for name, file in FILES.items() if workflow.match(file))
    tool("check-jsonschema", "--builtin-schema", SCHEMAS[service], workflow)


def test_github_finds_nothing_unsafe_in_it(cli, project, tmp_path):
    cli("new", "ci", "-o", project, "--for", "github")
    # Tags, since nobody here can look up which commits they are.
    settings = tmp_path / "zizmor.yml"
    settings.write_text(json.dumps({"rules": {"unpinned-uses": {"config": {"policies": {"*": "ref-pin"}}}}}))
    tool("zizmor", "--offline", "--no-progress", "--config", settings, project / GITHUB)


def test_its_scripts_hold_before_shellcheck(workflow, tmp_path):
    found = scripts(workflow)
    assert len(found) >= 3
    for where, script in found.items():
        path = tmp_path / "script.sh"
        path.write_text(script + "\n")
        done = subprocess.run(
            [TOOLS / "shellcheck", "--shell=bash", "--severity=style", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"


def test_what_it_may_do_is_what_it_needs(cli, project):
    cli("new", "ci", "-o", project, "--for", "github")
    document = read(project / GITHUB)
    assert document["permissions"] == {}
    assert document["jobs"]["envelope"]["permissions"] == {"contents": "read"}
    assert document["jobs"]["push"]["permissions"] == {"contents": "read", "packages": "write"}
    pushes = [where for where, script in scripts(project / GITHUB).items() if "--push" in script]
    assert pushes == ["push.Build, prove and push"]
    cli("new", "ci", "-o", project, "--for", "gitlab")
    pushes = [where for where, script in scripts(project / GITLAB).items() if "--push" in script]
    assert pushes == ["push"]
    assert read(project / GITLAB)["push"]["rules"] == [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}]
