"""`envelope show IMAGE`, with an engine that is played."""

from contextlib import contextmanager

import pytest

from model_envelope.foundation.errors import ToolMissing
from model_envelope.runtime import manifest
from model_envelope.runtime.origin import Origin
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.engine import Engine, Image
from model_envelope.targets.labels import labels_of
from model_envelope.targets.target import find_target

ID = f"sha256:{'1d' * 32}"


class Played:
    """An engine that has some images."""

    def __init__(self, images):
        self.images = images
        self.closed = False

    def image(self, name):
        return self.images.get(name)

    @contextmanager
    def watched(self):
        yield

    def close(self):
        self.closed = True


@pytest.fixture
def labels(sealed):
    return labels_of(
        read_envelope(sealed),
        find_target("service").with_options("arrow"),
        base_image=f"python:3.11-slim@sha256:{'ba5e' * 16}",
        lock_digest="10cc" * 16,
        origin=Origin("c0ffee" * 6 + "c0ff", dirty=False, remote="git@example.com:team/doubler.git"),
    )


@pytest.fixture
def play(monkeypatch):
    """Let an engine have these images, by name."""

    def play(**labels):
        images = {
            name: Image(ID, (f"{name}:latest",), (), "linux/amd64", 98_000_000, own) for name, own in labels.items()
        }
        engine = Played(images)
        monkeypatch.setattr(Engine, "connect", lambda: engine)
        return engine

    return play


@pytest.fixture
def no_engine(monkeypatch):
    def connect():
        raise ToolMissing("no Docker Engine answers at nowhere", code="engine.unreachable")

    monkeypatch.setattr(Engine, "connect", connect)


def test_text(cli, play, labels, sealed):
    engine = play(doubled=labels)
    ran = cli("show", "doubled")
    digest = manifest.digest((sealed / manifest.NAME).read_bytes())
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"doubler  {digest[:12]}\n"
        "Doubles numbers\n"
        "\n"
        "predict(values)\n"
        "├── values  list of float64\n"
        "└── ->  list of float64\n"
        "total(values, *, start=0.0)\n"
        "├── values  list of float64\n"
        "├── start  float64\n"
        "└── ->  float64\n"
        "\n"
        f"python        {labels['io.modelenvelope.python']} (linux/amd64)\n"
        "target        service --arrow\n"
        f"envelope      {digest}\n"
        f"packages      lock {'10cc' * 16}\n"
        f"runtime       {labels['io.modelenvelope.runtime.digest']}, "
        f"of model-envelope {labels['io.modelenvelope.version']}\n"
        f"base          docker.io/library/python:3.11-slim@sha256:{'ba5e' * 16}\n"
        f"commit        {'c0ffee' * 6}c0ff of ssh://git@example.com/team/doubler.git\n"
        f"image         {ID} doubled:latest\n"
        "size          98.0 MB\n"
    )
    assert engine.closed


def test_json(cli, play, labels, sealed):
    play(doubled=labels)
    result = cli("show", "docker://doubled", "--json").result
    assert result.keys() == {
        "image", "id", "names", "platform", "size", "name", "digest", "description", "signature", "python", "target",
        "options", "lock", "runtime", "version", "base_image", "base_digest", "revision", "source",
    }  # fmt: skip
    assert result["image"] == "doubled"
    assert result["signature"] == cli("show", sealed, "--json").result["signature"]
    assert result["options"] == ["arrow"]
    assert result["base_digest"] == f"sha256:{'ba5e' * 16}"


def test_a_folder_comes_before_an_image_of_its_name(cli, play, labels, sealed, monkeypatch):
    monkeypatch.chdir(sealed.parent)
    play(doubler={**labels, "io.modelenvelope.name": "other"})
    assert cli("show", "doubler").out.startswith("doubler ")
    assert cli("show", "docker://doubler").out.startswith("other ")


def test_neither_folder_nor_image(cli, play):
    play()
    ran = cli("show", "nowhere", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "envelope.missing"
    assert ran.error["message"] == "there is neither such a folder nor such an image: nowhere"
    assert "docker pull" in ran.error["hint"]
    assert cli("show", "docker://nowhere", "--json").error["message"] == "there is no such image: docker://nowhere"


@pytest.mark.parametrize("word", ["/no/folder", "../no", "docker://", "docker://../x", "a b"])
def test_what_no_image_is_called_is_not_asked_for(cli, monkeypatch, word):
    monkeypatch.setattr(Engine, "connect", lambda: pytest.fail("an engine was asked"))
    ran = cli("show", word, "--json")
    assert ran.code == 1
    assert ran.error["code"] == "envelope.missing"


def test_without_an_engine_it_says_that_nobody_can_tell(cli, no_engine):
    ran = cli("show", "flights:1", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "envelope.missing"
    assert "there is no such folder: flights:1" in ran.error["message"]
    assert "no Docker Engine answers" in ran.error["message"]
    ran = cli("show", "docker://flights:1", "--json")
    assert (ran.code, ran.error["code"]) == (4, "engine.unreachable")


def test_an_image_that_carries_no_envelope(cli, play):
    play(debian={"maintainer": "somebody"})
    ran = cli("show", "debian", "--json")
    assert (ran.code, ran.error["code"]) == (1, "image.no-envelope")
    assert "io.modelenvelope.digest" in ran.error["message"]


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("io.modelenvelope.python", "", "it lacks `io.modelenvelope.python`"),
        ("io.modelenvelope.signature", "{", "`io.modelenvelope.signature` is none"),
        ("io.modelenvelope.signature", "[" * 100_000, "`io.modelenvelope.signature` is none"),
        ("io.modelenvelope.signature", '{"format": 1}', "`io.modelenvelope.signature` is none"),
        ("org.opencontainers.image.description", "\x1b[2J", "`description` holds what cannot be shown"),
    ],
)
def test_labels_that_nobody_wrote_so(cli, play, labels, label, value, said):
    play(odd={**labels, label: value})
    ran = cli("show", "odd", "--json")
    assert (ran.code, ran.error["code"]) == (1, "image.malformed")
    assert said in ran.error["message"]
