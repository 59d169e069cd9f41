"""The workflows that `envelope new ci` writes do what they say: their own commands, from the checkout to the registry.

What runners bring is played here: a checkout, variables, the artifact that goes from one job to the next. The tool is
installed by the workflow's own command, from a wheel of this checkout.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from registries import PASSWORD, USER, registry
from runners import Machine

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.slow, pytest.mark.xdist_group("engine")]

CHECKOUT = Path(__file__).parent.parent.parent
SOURCES = {
    "scoring.py": "class Model:\n    def predict(self, x):\n        return 2 * x\n",
    "train.py": (
        "import json, pickle\nfrom scoring import Model\n\n"
        "with open('model.pkl', 'wb') as file:\n    pickle.dump(Model(), file)\n"
        "with open('samples.json', 'w') as file:\n    json.dump([1, 2, 3], file)\n"
    ),
    "requirements.txt": "packaging\n",
}


@pytest.fixture
def hub(tmp_path, engine):
    with registry(tmp_path / "registry", password=True) as found:
        yield found
    for image in engine.client.images.list():
        for name in image.tags:
            if name.startswith((found.address, "doubled:")):
                engine.forget(name)


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory):
    """A Python with nothing installed, and a folder with a wheel of this checkout."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    wheels = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder / "wheels"]
    subprocess.run(wheels, cwd=CHECKOUT, check=True, capture_output=True)
    return folder


@pytest.fixture
def project(tmp_path, envelope):
    """A checkout of a project, with a workflow for each service."""
    folder = tmp_path / "doubled"
    folder.mkdir()
    for name, source in SOURCES.items():
        (folder / name).write_text(source)
    (folder / "samples.json").touch()
    for service in ("github", "gitlab"):
        envelope("new", "ci", "--for", service, cwd=folder)
    (folder / "samples.json").unlink()
    return folder


@pytest.fixture
def machine(tmp_path, fresh_python, hub):
    """What the scripts get from the runner, whatever the workflow says: this registry, and Python on PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    # Packages of the system are there already.
    (programs / "apt-get").write_text("#!/bin/sh\n")
    (programs / "apt-get").chmod(0o755)
    path = [str(programs), str(fresh_python / "venv" / "bin"), os.environ["PATH"]]
    links = [os.environ.get("PIP_FIND_LINKS", ""), str(fresh_python / "wheels")]
    variables = {
        "PATH": os.pathsep.join(path),
        "PIP_FIND_LINKS": " ".join(filter(None, links)),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "VIRTUAL_ENV": str(fresh_python / "venv"),
        "ENVELOPE_CACHE_DIR": os.environ["ENVELOPE_CACHE_DIR"],
    }
    return Machine(variables)


def checkout(project, into):
    return Path(shutil.copytree(project, into))


def assert_pushed(hub, repository, envelope, built, said):
    """The registry has the image under the envelope's digest, and build.json says so."""
    digest = envelope.rpartition("-")[2]
    assert hub.tags(repository) == [digest]
    pushed = json.loads((built / "build.json").read_text())["pushed"]
    assert pushed["name"] == f"{hub.address}/{repository}:{digest}"
    assert pushed["reference"].startswith(f"{hub.address}/{repository}@sha256:")
    assert PASSWORD not in said


def test_github(project, tmp_path, machine, hub):
    workflow = project / ".github" / "workflows" / "envelope.yml"
    machine.variables |= {"REGISTRY": hub.address, "GITHUB_REPOSITORY": "Team/Doubled"}
    first = checkout(project, tmp_path / "first")
    outputs = machine.github(workflow, "envelope", first)
    assert outputs["envelope"].startswith("doubled-")
    assert hub.repositories() == []
    assert (first / "build.json").is_file()

    machine.expressions |= {
        "needs.envelope.outputs.envelope": outputs["envelope"],
        "github.actor": USER,
        "secrets.GITHUB_TOKEN": PASSWORD,
    }
    second = checkout(project, tmp_path / "second")
    shutil.copy(first / "envelope.tar", second)
    machine.github(workflow, "push", second)
    assert_pushed(hub, "team/doubled", outputs["envelope"], second, "".join(machine.log))


def test_gitlab(project, tmp_path, machine, hub):
    workflow = project / ".gitlab-ci.yml"
    variables = {
        "CI_REGISTRY": hub.address,
        "CI_REGISTRY_USER": USER,
        "CI_REGISTRY_PASSWORD": PASSWORD,
        "CI_REGISTRY_IMAGE": f"{hub.address}/team/doubled",
    }
    first = checkout(project, tmp_path / "first")
    machine.gitlab(workflow, "envelope", first, variables)
    variables |= dict(line.split("=", 1) for line in (first / "envelope.env").read_text().splitlines())
    for job in ("build", "push"):
        folder = checkout(project, tmp_path / job)
        shutil.copy(first / "envelope.tar", folder)
        machine.gitlab(workflow, job, folder, variables)
        assert (hub.repositories() == []) is (job == "build")
    assert_pushed(hub, "team/doubled", variables["ENVELOPE"], tmp_path / "push", "".join(machine.log))


def test_an_envelope_that_the_training_wrote_is_taken(project, tmp_path, machine):
    with (project / "train.py").open("a") as file:
        file.write(
            "\nimport model_envelope as me\n"
            "me.save_model(model=Model(), instance_name='own', instance_description='Doubles',"
            " query_function='predict', api_input=[1, 2])\n"
        )
    outputs = machine.github(project / ".github" / "workflows" / "envelope.yml", "envelope", project)
    assert outputs["envelope"].startswith("own-")
