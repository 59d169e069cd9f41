"""Labels: what they say, and that builders read back what was written, by the rules of their parsers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import make_envelope, seal
from hypothesis import given, settings
from hypothesis import strategies as st

from model_envelope.runtime import signature as s
from model_envelope.runtime import signature_document
from model_envelope.runtime.origin import Origin
from model_envelope.runtime.reading import read_envelope
from model_envelope.runtime.runtime_digest import runtime_digest
from model_envelope.targets.labels import instruction, labels_of, qualified, quoted, signature_text
from model_envelope.targets.target import find_target

COMMIT = "c0ffee" * 6 + "c0ff"
MOST = 65_535
"""Bytes of the longest line that BuildKit reads."""


def read_back(text: str) -> dict[str, str]:
    """Read a LABEL as builders do: lines joined, words split, quotes and escapes taken away.

    Written after moby/buildkit: frontend/dockerfile/parser/parser.go, line_parsers.go and shell/lex.go.
    """
    lines = text.split("\n")
    assert all(len(line.encode()) <= MOST for line in lines)
    joined, goes_on = "", True
    for number, line in enumerate(lines):
        assert goes_on, f"the instruction ends before line {number}"
        if number and (line.lstrip().startswith("#") or not line.strip()):
            continue
        ends = re.search(r"([^\\])\\[ \t]*$|^\\[ \t]*$", line)
        goes_on = ends is not None
        joined += line[: ends.start()] + (ends[1] or "") if ends else line
    assert not goes_on
    assert joined.startswith("LABEL ")
    return dict(word.split("=", 1) for word in _words(joined.removeprefix("LABEL ")))


def _words(text):
    word, inside, at = "", False, 0
    started = False
    while at < len(text):
        character = text[at]
        at += 1
        if not inside and character.isspace():
            if started:
                yield word
            word, started = "", False
            continue
        started = True
        if character == '"':
            inside = not inside
        elif character == "\\" and (not inside or text[at] in '"\\$'):
            word += text[at]
            at += 1
        else:
            assert character != "$", "a variable would be put in here"
            word += character
    assert not inside
    if started:
        yield word


awkward = st.sampled_from(
    [*"\"\\$#' \t={}[],\n\r\u2028\x00é🙂", "\\\\", "  ", "\n#", "${A}", "$(b)", "\x7f", "\x00 \x00"]
)
texts = st.lists(st.one_of(awkward, st.text(max_size=5)), max_size=60).map("".join)
names = texts.filter(bool)


@st.composite
def signatures(draw):
    columns = draw(st.lists(names, max_size=4, unique=True))
    repeat = draw(st.sampled_from([1, 1, 1, 200]))
    fields = [s.Field(name * repeat, s.Scalar("float64")) for name in columns]
    choice = s.Choice(tuple(draw(st.lists(texts, min_size=1, max_size=4, unique=True))))
    return s.Signature(
        {
            draw(names): s.Method(
                (s.Parameter("x", s.Record(tuple(fields))), s.Parameter("c", choice)), s.Scalar("string")
            )
        }
    )


@settings(deadline=None)
@given(signatures())
def test_a_signature_is_read_back_as_it_was(signature):
    text = signature_text(signature)
    assert json.loads(text) == json.loads(json.dumps(signature_document.to_document(signature)))
    written = instruction({"a": "x y", "signature": text, "z": "last"})
    assert read_back(written) == {"a": "x y", "signature": text, "z": "last"}
    assert text.isprintable()
    assert text == " ".join(text.split())
    assert max(map(len, written.split("\n"))) < 1100


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp"))), st.integers(1, 20))
def test_a_text_in_one_line_is_read_back_as_it_was(text, fold):
    assert read_back(f"LABEL a={quoted(text, fold)} \\\n      b=c") == {"a": text, "b": "c"}


UGLY = 'quotes " and \' dollars $HOME ${HOME} $(id) backslashes \\ \\\\ \\" lines \n\r\n# comments `ticks` ünïcödé 🙂 '


def ugly_signature(size):
    columns = tuple(s.Field(f"{UGLY}{number}", s.Scalar("float64")) for number in range(size // 200))
    return {"predict": s.Method((s.Parameter("x", s.Record(columns)),), s.Scalar("float64"))}


def test_a_signature_of_any_size_is_folded():
    text = signature_text(s.Signature(ugly_signature(300_000)))
    assert len(text) > 300_000
    assert read_back(instruction({"signature": text})) == {"signature": text}


@settings(deadline=None)
@given(texts)
def test_nothing_of_an_envelope_begins_another_instruction(text):
    from model_envelope.runtime.reading import Description, EnvelopeFiles, Loader

    class Files(EnvelopeFiles):
        signature = s.Signature({f"a{text}": s.Method((), s.Scalar("string"))})

    about = Description("n", text, {}, Loader("pickle", "m"), "3.11", "CPython", "linux", {}, {})
    labels = labels_of(Files(Path("x"), "d" * 64, about), find_target("service"), base_image="a", lock_digest="l")
    assert read_back(instruction(labels)) == labels
    assert all(value and value.isprintable() for value in labels.values())


def labels(envelope, **options):
    options = {"base_image": "python:3.11-slim", "lock_digest": "10cc", **options}
    return labels_of(read_envelope(envelope), find_target("service").with_options("arrow"), **options)


def test_what_the_labels_say(scorer):
    files = read_envelope(scorer)
    found = labels(
        scorer,
        base_image=f"python:3.11-slim@sha256:{'ba5e' * 16}",
        origin=Origin(
            COMMIT, dirty=False, remote="https://max:t0ken@git.example.com:8443/team/flights.git?private_token=x"
        ),
    )
    version = found.pop("io.modelenvelope.version")
    assert version == sys.modules["model_envelope"].__version__
    assert json.loads(found.pop("io.modelenvelope.signature")) == json.loads((scorer / "signature.json").read_text())
    assert found == {
        "org.opencontainers.image.title": "scorer",
        "org.opencontainers.image.description": "Made by hand for a test",
        "org.opencontainers.image.version": files.short_digest,
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.source": "https://git.example.com:8443/team/flights.git",
        "org.opencontainers.image.base.name": "docker.io/library/python:3.11-slim",
        "org.opencontainers.image.base.digest": f"sha256:{'ba5e' * 16}",
        "io.modelenvelope.name": "scorer",
        "io.modelenvelope.digest": files.digest,
        "io.modelenvelope.runtime.digest": runtime_digest(),
        "io.modelenvelope.lock.sha256": "10cc",
        "io.modelenvelope.python": files.description.python,
        "io.modelenvelope.target": "service",
        "io.modelenvelope.options": "arrow",
        "io.modelenvelope.methods": "predict,greet,later",
    }


def test_what_is_not_known_has_no_label(scorer):
    found = labels(scorer)
    assert not {name for name in found if name.endswith(("source", "revision", "base.digest", "licenses", "created"))}


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("https://github.com/team/flights", "https://github.com/team/flights"),
        ("https://****@host/x.git", "https://host/x.git"),
        ("https://oauth2:glpat-abcdefghijklmnopqrst@gitlab.com/a/b.git", "https://gitlab.com/a/b.git"),
        ("git@github.com:team/flights.git", "ssh://git@github.com/team/flights.git"),
        ("ssh://git@host:2222/team/flights.git", "ssh://git@host:2222/team/flights.git"),
        ("ssh://max@host/x", "ssh://host/x"),
        ("git://host/x", "git://host/x"),
        ("/srv/git/flights.git", ""),
        ("file:///home/max/flights", ""),
        ("../flights", ""),
        ("C:/Users/max/flights", ""),
        ("https://host/a b", ""),
        ("https:///nothing", ""),
        ("", ""),
    ],
)
def test_the_source_is_an_address_that_others_have_too_and_holds_no_credentials(scorer, remote, source):
    found = labels(scorer, origin=Origin(COMMIT, dirty=False, remote=remote))
    assert found.get("org.opencontainers.image.source", "") == source


def test_a_description_is_one_line_of_text_without_credentials(scorer):
    document = json.loads((scorer / "envelope.json").read_text())
    document["description"] = 'Trained\non "https://max:pass@host/x"\x1b[31m\r\nRUN evil ' + "long " * 1000
    (scorer / "envelope.json").write_text(json.dumps(document))
    seal(scorer)
    found = labels(scorer)["org.opencontainers.image.description"]
    assert found.startswith('Trained on "https://****@host/x" [31m RUN evil long')
    assert len(found) == 1001


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("team/base", "docker.io/team/base:latest"),
        ("registry.example.com/base:1", "registry.example.com/base:1"),
        ("localhost:5000/base", "localhost:5000/base:latest"),
        ("localhost/team/base:2", "localhost/team/base:2"),
    ],
)
def test_names_of_base_images_are_written_in_full(image, full):
    assert qualified(image) == full


def test_hadolint_reads_an_ugly_signature(tmp_path):
    path = tmp_path / "Dockerfile"
    text = instruction({"io.a": "b", "io.signature": signature_text(s.Signature(ugly_signature(200_000)))})
    path.write_text(f"FROM debian:stable-slim\n{text}\nUSER 1\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--no-color", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_envelope_with_an_ugly_signature_gives_a_whole_dockerfile(tmp_path):
    from model_envelope.targets.context import render_context

    envelope = make_envelope(tmp_path, methods=ugly_signature(200_000), samples={})
    files = read_envelope(envelope)
    context = render_context(files, find_target("service"), tmp_path / "out", base_image="debian:stable-slim")
    text = (context.path / "Dockerfile").read_text()
    label = text[text.index("LABEL ") : text.index("\nWORKDIR /opt/model")]
    found = json.loads(read_back(label)["io.modelenvelope.signature"])
    assert signature_document.from_document(found) == files.signature
