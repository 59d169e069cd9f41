"""Labels in real images, as both builders write them, and what is shown of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import make_envelope, seal

from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.signature import Field, Method, Parameter, Record, Scalar, Signature
from model_envelope.runtime.signature_document import from_document
from model_envelope.targets.building import choose_builder
from model_envelope.workflows.build import build

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

COMMAND = Path(sys.executable).with_name("envelope")
BASE_IMAGE = os.environ.get("ENVELOPE_BASE_IMAGE", "python-base:bookworm")
UGLY = (
    'quotes " and \' dollars $HOME ${HOME} $(id) $$ backslashes \\ \\\\ \\" lines \n\r\n# comments `ticks`  ünïcödé 🙂 '
)
SOURCE = "class Model:\n    def predict(self, x):\n        return 1.0\n"


@pytest.fixture
def name(engine, no_dangling):
    name = f"envelope-test/labelled:{os.getpid()}"
    yield name
    engine.forget(name)


def show(*words, code=0):
    done = subprocess.run([COMMAND, "show", *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
def test_an_ugly_signature_of_any_size_is_read_back(tmp_path, engine, name, monkeypatch, classic):
    if classic:
        monkeypatch.setattr("model_envelope.targets.building.buildkit_client", lambda: None)
    assert ("classic" in choose_builder(engine).name) is classic
    fields = tuple(Field(f"{UGLY}{number}", Scalar("float64")) for number in range(1000))
    methods = {"predict": Method((Parameter("x", Record(fields)),), Scalar("float64"))}
    envelope = make_envelope(tmp_path, SOURCE, methods, {}, name="labelled")
    document = json.loads((envelope / "envelope.json").read_text())
    (envelope / "envelope.json").write_text(json.dumps({**document, "description": UGLY}))
    seal(envelope)
    built = build(envelope, image=name, base_image=BASE_IMAGE)
    labels = engine.labels(name)
    assert len(labels["io.modelenvelope.signature"]) > 200_000
    assert from_document(json.loads(labels["io.modelenvelope.signature"])) == Signature(methods)
    assert labels["org.opencontainers.image.description"] == " ".join(UGLY.split())
    assert labels["io.modelenvelope.digest"] == built.digest
    shown = show(name)["result"]
    assert from_document(shown["signature"]) == read_envelope(envelope).signature


def test_an_image_is_shown_by_name_and_id_without_running_it(tmp_path, engine, name):
    built = build(make_envelope(tmp_path, name="labelled"), image=name, base_image=BASE_IMAGE)
    before = {item.id for item in engine.client.containers.list(all=True)}
    found = show(name)["result"]
    for other in (built.id, built.id.removeprefix("sha256:")[:12], f"docker://{name}"):
        assert {**show(other)["result"], "image": name} == found
    assert found["id"] == built.id
    assert found["digest"] == built.digest
    assert found["size"] == built.size
    assert name in found["names"]
    assert found["platform"].startswith("linux/")
    assert found["base_image"].endswith(BASE_IMAGE.rpartition("/")[2])
    ours = {item.id for item in engine.client.containers.list(all=True, filters={"ancestor": name})}
    assert ours <= before


def test_what_is_not_there_or_carries_nothing_is_told(engine):
    assert show("envelope-test/no-such-image:1", code=1)["error"]["code"] == "envelope.missing"
    assert show("sha256:nonsense", code=1)["error"]["code"] == "envelope.missing"
    assert show("Not/An/Image:::", code=1)["error"]["code"] == "envelope.missing"
    assert show(BASE_IMAGE, code=1)["error"]["code"] == "image.no-envelope"
