"""Reads the workflows that `envelope new ci` writes, and does what their runners would do with them."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml


def read(path):
    """Read a workflow; every scalar stays the text that it is written as."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def scripts(path):
    """Give every script in a workflow, by where it stands."""
    document = read(path)
    if "jobs" in document:
        return {
            f"{job}.{step.get('name')}": step["run"]
            for job, content in document["jobs"].items()
            for step in content["steps"]
            if "run" in step
        }
    return {
        job: "\n".join([*content.get("before_script", ()), *content["script"]])
        for job, content in ((name, _whole(document, name)) for name in _jobs(document))
    }


def _jobs(document):
    return [name for name, content in document.items() if isinstance(content, dict) and "script" in content]


def _whole(document, name):
    """Give a job of GitLab with what it extends."""
    content = document[name]
    return {**document.get(content.get("extends", ""), {}), **content}


@dataclass
class Machine:
    """What runs the scripts: the variables that each of them gets, and what expressions of the workflow stand for."""

    variables: dict[str, str]
    expressions: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def bash(self, script, folder, variables):
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env={**os.environ, **variables, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=600,
            check=False,
        )
        self.log.append(done.stdout)
        assert done.returncode == 0, f"{script}\nended with {done.returncode}\n{done.stdout}"

    def github(self, path, job, folder):
        """Run the steps of a job of GitHub Actions that are scripts; give the outputs that they set."""
        document = read(path)
        outputs, kept = folder / ".outputs", folder / ".kept"
        for file in (outputs, kept):
            file.touch()
        for step in document["jobs"][job]["steps"]:
            if "run" not in step:
                continue
            layers = (document["env"], document["jobs"][job].get("env", {}), _pairs(kept), step.get("env", {}))
            variables = {name: self._filled(value) for layer in layers for name, value in layer.items()}
            self.bash(step["run"], folder, {**variables, "GITHUB_ENV": str(kept), "GITHUB_OUTPUT": str(outputs)})
        return _pairs(outputs)

    def gitlab(self, path, job, folder, variables):
        """Run the script of a job of GitLab; the variables of its services are those of this machine."""
        written = {
            name: value.replace("$CI_PROJECT_DIR", str(folder)) for name, value in read(path)["variables"].items()
        }
        self.bash(scripts(path)[job], folder, {**written, "CI_PROJECT_DIR": str(folder), **variables})

    def _filled(self, text):
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: self.expressions[found[1]], text)


def _pairs(file: Path):
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
