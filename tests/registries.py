"""A registry of images of one's own: Debian's `docker-registry` on a free port of this machine."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "tester", "right-password"
HASH = "$2b$04$JrydYkZz2tTbQiAzDzBhGuHRbEhiMiSzUEJEw.XaFxgc2vmYUTT86"
"""What the password is kept as, for the registry."""
PATIENCE = 30
ACCEPTED = ("manifest.v2+json", "manifest.list.v2+json")


class Registry:
    """A registry that runs: where it is, and what it has."""

    def __init__(self, process, address, password):
        self.process = process
        self.address = address
        self.password = password

    def stop(self):
        self.process.kill()
        self.process.wait()

    def get(self, path):
        headers = {"Accept": ", ".join(f"application/vnd.docker.distribution.{kind}" for kind in ACCEPTED)}
        if self.password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def repositories(self):
        return self.get("_catalog")["repositories"]

    def tags(self, repository):
        """The tags of a repository; None where the registry has no such one."""
        try:
            return self.get(f"{repository}/tags/list")["tags"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def layers(self, repository, reference):
        """The digests of an image's layers, as they are in the registry."""
        return [layer["digest"] for layer in self.get(f"{repository}/manifests/{reference}")["layers"]]

    def blobs(self, folder):
        """Every blob that the registry has taken, whether anything refers to it or not."""
        return {path.parent.name for path in Path(folder).rglob("blobs/sha256/*/*/data")}

    def login(self, folder, password=PASSWORD):
        """Write what `docker login` writes; the folder is for DOCKER_CONFIG."""
        folder.mkdir()
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": auth}}}))
        return str(folder)


@contextmanager
def registry(folder, *, password=False):
    """Run a registry that keeps its files in a folder, and demands the password where it is told to."""
    program = shutil.which("docker-registry")
    if program is None:
        reason = "there is no docker-registry: on Debian `apt-get install docker-registry`"
        if os.environ.get("ENVELOPE_REQUIRE_ENGINE") == "1" or os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    folder.mkdir()
    settings = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": "127.0.0.1:0", "secret": "only for this test"},
    }
    if password:
        (folder / "htpasswd").write_text(f"{USER}:{HASH}\n")
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(settings))
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=said, stderr=said)
    try:
        yield Registry(process, _address(process, log), password)
    finally:
        process.kill()
        process.wait()


def _address(process, log):
    until = time.monotonic() + PATIENCE
    while not (found := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)
    return found[1]
