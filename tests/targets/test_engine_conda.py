"""An image of a conda lock, built for real: its stage with micromamba installs with what stands in for it.

The image with micromamba is made here: the base image, the stand-in with py-rattler, and the channel at its address.
"""

import json
import os
import shutil
import sysconfig
from pathlib import Path

import pytest
from conda_machine import STAND_IN, enter, make

from model_envelope.foundation.errors import ToolFailed
from model_envelope.workflows.build import build
from model_envelope.workflows.pack import Label, SampleFile, pack

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

BASE_IMAGE = os.environ.get("ENVELOPE_BASE_IMAGE", "python-base:bookworm")
MICROMAMBA = "envelope-test/micromamba-stand-in:latest"
DOCKERFILE = f"""\
FROM {BASE_IMAGE}
COPY site /opt/stand-in
COPY conda_stand_in.py /opt/stand-in/
COPY micromamba /usr/local/bin/micromamba
COPY channel %s
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A conda environment with the Python that the base image has too, Debian's own."""
    made = make(tmp_path / "conda", base=Path("/usr/bin/python3").resolve(), tacked=False)
    made.call("micromamba")
    home = os.environ["HOME"]
    enter(made, monkeypatch, tmp_path)
    monkeypatch.setenv("HOME", home)  # pip's own settings are needed in the build
    return made


@pytest.fixture
def micromamba(engine, machine, tmp_path):
    """The name of an image in which micromamba is the stand-in, and the channel is where the lock says."""
    context = tmp_path / "context"
    (context / "site").mkdir(parents=True)
    for package in ("rattler", "yaml"):
        shutil.copytree(Path(sysconfig.get_path("platlib"), package), context / "site" / package)
    shutil.copy(STAND_IN, context)
    shutil.copytree(machine.channel.folder, context / "channel")
    script = '#!/bin/sh\nPYTHONPATH=/opt/stand-in exec python3 /opt/stand-in/conda_stand_in.py "$@"\n'
    (context / "micromamba").write_text(script)
    (context / "micromamba").chmod(0o755)
    (context / "Dockerfile").write_text(DOCKERFILE % machine.channel.folder)
    engine.client.images.build(path=str(context), tag=MICROMAMBA, rm=True)
    yield MICROMAMBA
    engine.forget(MICROMAMBA)


def packed(machine, folder):
    model = machine.model(folder / "model")
    samples = SampleFile(model.with_name("samples.json"), "samples.json")
    return pack(
        model,
        samples=samples,
        into=folder / "out",
        label=Label("gadget"),
        python=str(machine.python),
        resolver="conda-lock",
    )


def test_an_image_of_a_conda_lock_answers_as_sealed(engine, machine, micromamba, tmp_path):
    result = packed(machine, tmp_path)
    name = f"envelope-test/gadget:{os.getpid()}"
    try:
        built = build(result.path, image=name, base_image=BASE_IMAGE, micromamba_image=micromamba)
        assert [item.agrees for item in built.replays] == [True]
        said = engine.client.containers.run(
            name,
            ["-c", "import glob, json; print(json.dumps(sorted(glob.glob('/opt/venv/conda-meta/*.json'))))"],
            entrypoint="/opt/venv/bin/python",
            remove=True,
        )
        records = [Path(path).name for path in json.loads(said)]
        assert "widget-core-1.0-py_0.json" in records
        assert f"python-{machine.channel.python}-0.json" in records
        assert "unused-1.0-py_0.json" not in records
    finally:
        engine.forget(name)


def test_an_image_without_micromamba_is_told(engine, machine, tmp_path):
    result = packed(machine, tmp_path)
    with pytest.raises(ToolFailed) as caught:
        build(result.path, image="envelope-test/gadget:no", base_image=BASE_IMAGE, micromamba_image=BASE_IMAGE)
    assert caught.value.code == "build.micromamba"
    assert "--micromamba-image" in caught.value.hint
