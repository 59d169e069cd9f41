"""What an image is made of, read from what engines note of it."""

import io
import json
import tarfile

import docker
import pytest

from model_envelope.targets.engine import Engine
from model_envelope.targets.layers import Installed, Layer, digests_of, id_of, read_installed, read_layers

BASE = "python:3.11-slim"
BUILDKIT = [
    (0, 'ENTRYPOINT ["/opt/venv/bin/python"]'),
    (0, "LABEL a=b"),
    (0, "WORKDIR /opt/model"),
    (90, "ADD layers/model.tar / # buildkit"),
    (20, "ADD layers/code.tar / # buildkit"),
    (3_000, "COPY /serving/ / # buildkit"),
    (70_000, "COPY /packages/ / # buildkit"),
    (500, "COPY /system/ / # buildkit"),
    (0, "ENV PATH=/opt/venv/bin"),
]
CLASSIC = [
    (0, '/bin/sh -c #(nop)  ENTRYPOINT ["/opt/venv/bin/python"]'),
    (0, "/bin/sh -c #(nop) WORKDIR /opt/model"),
    (0, "/bin/sh -c #(nop)  LABEL a=b"),
    (90, "/bin/sh -c #(nop) ADD file:4e231dcf in / "),
    (20, "/bin/sh -c #(nop) ADD file:83234315 in / "),
    (3_000, "/bin/sh -c #(nop) COPY dir:3e52b02b in / "),
    (70_000, "/bin/sh -c #(nop) COPY dir:100d625c in / "),
    (500, "/bin/sh -c #(nop) COPY dir:5ce57a4b in / "),
    (0, "/bin/sh -c #(nop)  ENV PATH=/opt/venv/bin"),
]
BELOW = [(0, 'CMD ["python3"]'), (400_000, "RUN /bin/sh -c set -eux; apt-get update # buildkit"), (900_000, "")]


class Image:
    def __init__(self, digests, history):
        self.attrs = {"Id": "sha256:1", "RootFS": {"Layers": digests}}
        self._history = history

    def history(self):
        return [{"Size": size, "CreatedBy": text} for size, text in self._history]


class Images(dict):
    def get(self, name):
        if name not in self:
            raise docker.errors.ImageNotFound(name)
        return self[name]


class Client:
    def __init__(self, **images):
        self.images = Images({name.replace("base", BASE): image for name, image in images.items()})


def engine_with(**images):
    return Engine(Client(**images), "unix:///nowhere")


OURS = ["s", "p", "v", "c", "m"]


@pytest.mark.parametrize(
    ("history", "digests", "base"),
    [
        (BUILDKIT, [*OURS, "w"], Image(["b1", "b2"], BELOW)),
        (BUILDKIT, [*OURS, "w"], None),
        (CLASSIC, OURS, Image(["b1", "b2"], BELOW)),
    ],
    ids=["BuildKit", "BuildKit that fetched the base", "the classic builder"],
)
def test_layers_have_the_names_of_what_is_in_them(history, digests, base):
    images = {"image": Image(["b1", "b2", *digests], [*history, *BELOW])} | ({"base": base} if base else {})
    layers = read_layers(engine_with(**images), "image", BASE, ["b1", "b2", "s", "p", "v", "old", "w"])
    assert layers[:6] == (
        Layer("base image", ("b1", "b2"), 1_300_000, new=False),
        Layer("system packages", ("s",), 500, new=False),
        Layer("packages", ("p",), 70_000, new=False),
        Layer("runtime code", ("v",), 3_000, new=False),
        Layer("local code", ("c",), 20, new=True),
        Layer("model", ("m",), 90, new=True),
    )
    assert sum(layer.size for layer in layers) == 1_373_610


@pytest.mark.parametrize("history", [BUILDKIT, CLASSIC], ids=["BuildKit", "the classic builder"])
def test_layers_without_packages_of_the_system_have_their_names_too(history):
    history = [entry for entry in history if entry[0] != 500]
    images = {"image": Image(["b1", "b2", *OURS[1:]], [*history, *BELOW]), "base": Image(["b1", "b2"], BELOW)}
    layers = read_layers(engine_with(**images), "image", BASE)
    assert {layer.name: layer.size for layer in layers if layer.size} == {
        "base image": 1_300_000,
        "packages": 70_000,
        "runtime code": 3_000,
        "local code": 20,
        "model": 90,
    }


def test_nothing_is_new_beside_nothing():
    engine = engine_with(image=Image(["b1", "p"], [(7, "COPY /packages/ / # buildkit"), (900, "")]))
    assert digests_of(engine, "gone") is None
    assert id_of(engine, "gone") is None
    assert id_of(engine, "image") == "sha256:1"
    assert {layer.new for layer in read_layers(engine, "image", BASE, digests_of(engine, "gone"))} == {None}


class Container:
    def __init__(self, archive):
        self.archive = archive
        self.removed = False

    def get_archive(self, path):
        assert path == "/opt/venv/packages.json"
        if self.archive is None:
            raise docker.errors.NotFound(path)
        return iter([self.archive[:100], self.archive[100:]]), {}

    def remove(self, **_):
        self.removed = True


def packed(content):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("packages.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


PACKAGES = [
    {"name": "numpy", "version": "2.4.6", "bytes": 55, "files": 3, "pruned_bytes": 7},
    {"name": "scipy", "version": "1.17.1", "bytes": 115, "files": 9, "pruned_bytes": 0},
]


@pytest.mark.parametrize(
    ("archive", "expected"),
    [
        (
            packed(json.dumps({"packages": PACKAGES}).encode()),
            (Installed("scipy", "1.17.1", 115, 0), Installed("numpy", "2.4.6", 55, 7)),
        ),
        (None, ()),
        (packed(b"{"), ()),
        (packed(b'{"packages": [{"name": "a"}]}'), ()),
        (packed(b"[]"), ()),
        (b"no archive at all", ()),
    ],
    ids=["two packages", "no list", "no JSON", "other fields", "another form", "no archive"],
)
def test_packages_are_read_without_running_the_image(archive, expected):
    container = Container(archive)
    engine = engine_with()
    engine.client.containers = type("Containers", (), {"create": lambda _, image, **__: container})()
    assert read_installed(engine, "image") == expected
    assert container.removed
