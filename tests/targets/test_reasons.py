"""What pip, uv, apt, BuildKit and the classic builder said in builds that were made to fail, and what is made of it.

The texts in ``said/`` are those of docker 20.10, pip 23.0 and uv 0.11; only addresses and names were changed.
"""

from pathlib import Path

import pytest

from model_envelope.targets.build_log import BuildLog
from model_envelope.targets.reasons import build_failed, reason_of

SAID = Path(__file__).parent / "said"
LOCK = b"""anyio==4.9 \\
    --hash=sha256:00
tiny==1.0 \\
    --hash=sha256:00
large==1.0
needsc==1.0
nothing-here==1.0
armonly==1.0
"""

TOLD = [
    ("absent.pip.buildkit", "build.package", "has nothing of `nothing-here==1.0`", "pip config list"),
    ("absent.pip.classic", "build.package", "has nothing of `nothing-here==1.0`", "pip config list"),
    ("absent.uv.buildkit", "build.package", "has no `nothing-here`", "locked from"),
    ("other-version.pip.buildkit", "build.package", "has no `tiny==9.0`", "locked from"),
    ("other-version.uv.buildkit", "build.package", "has no `tiny==9.0`", "locked from"),
    ("other-platform.pip.buildkit", "build.package", "`armonly==1.0` for this Python and platform", "pip config"),
    ("other-platform.uv.buildkit", "build.no-wheel", "no file of `armonly==1.0` is for this", "--platform"),
    ("needs-a-compiler.pip.buildkit", "build.no-compiler", "(x86_64-linux-gnu-gcc)", "--upgrade-package needsc"),
    ("needs-a-compiler.pip.classic", "build.no-compiler", "(x86_64-linux-gnu-gcc)", "--upgrade-package needsc"),
    ("needs-a-compiler.uv.buildkit", "build.no-compiler", "`needsc==1.0` has no ready wheel", "with a compiler"),
    ("needs-a-compiler.uv.classic", "build.no-compiler", "`needsc==1.0` has no ready wheel", "with a compiler"),
    ("needs-meson.pip.buildkit", "build.no-compiler", "a package that pip does not name has no ready wheel", "PACKAGE"),
    ("needs-meson.uv.buildkit", "build.no-compiler", "`needsmeson==1.0` has no ready wheel", "needsmeson"),
    ("other-file.pip.buildkit", "build.hashes", "another file of `tiny==1.0`", "look into that file"),
    ("other-file.uv.buildkit", "build.hashes", "another file of `tiny==1.0`", "look into that file"),
    (
        "half-way.pip.buildkit",
        "build.hashes",
        "another file of `large==1.0` than the one that was locked, or not all",
        "",
    ),
    ("half-way.uv.buildkit", "build.index-broken-off", "ended its answer half way", "try again"),
    ("index-401.pip.buildkit", "build.package", "or refuses to list it (pip does not tell)", "credentials"),
    ("index-401.uv.buildkit", "build.index-forbidden", "(https://index.example.com/simple)", ".netrc"),
    ("index-403.pip.buildkit", "build.package", "or refuses to list it (pip does not tell)", "credentials"),
    ("index-403.uv.buildkit", "build.index-forbidden", "(https://index.example.com/simple)", ".netrc"),
    ("file-403.pip.buildkit", "build.index-forbidden", "tiny-1.0-py3-none-any.whl", ".netrc"),
    ("file-403.uv.buildkit", "build.index-forbidden", "tiny-1.0-py3-none-any.whl", ".netrc"),
    ("index-500.uv.buildkit", "build.index-broken", "an error of its own", "try again later"),
    ("refused.pip.buildkit", "build.index-unreachable", "cannot be reached", "pip config list"),
    ("refused.uv.buildkit", "build.index-unreachable", "cannot be reached", "pip config list"),
    ("no-such-host.pip.buildkit", "build.index-unreachable", "cannot be reached", "pip config list"),
    ("no-such-host.uv.buildkit", "build.index-unreachable", "(https://index.example.invalid/simple/tiny/)", ""),
    ("certificate.pip.buildkit", "build.index-certificate", "nobody who is trusted", "global.cert"),
    ("certificate.uv.buildkit", "build.index-certificate", "nobody who is trusted", "global.cert"),
    ("proxy-password.pip.buildkit", "build.proxy-password", "asks for a password", "USER:PASSWORD"),
    ("proxy-password.uv.buildkit", "build.proxy-password", "asks for a password", "USER:PASSWORD"),
    ("proxy-down.pip.buildkit", "build.index-unreachable", "cannot be reached", ""),
    ("proxy-down.uv.buildkit", "build.index-unreachable", "cannot be reached", ""),
    ("no-python.buildkit", "build.base-without-python", "no `python3`", "--base-image"),
    ("no-python.classic", "build.base-without-python", "no `python3`", "--base-image"),
    ("no-python-exec.buildkit", "build.base-without-python", "no `python3`", "--base-image"),
    ("no-python-exec.classic", "build.base-without-python", "no `python3`", "--base-image"),
    ("no-registry.buildkit", "build.base-image", "on `team/no-such-base:1`: the engine does not have", "--base-image"),
    ("no-registry.classic", "build.base-image", "on `team/no-such-base:1`: the engine does not have", "--base-image"),
    ("registry-refuses.buildkit", "build.base-image", "connection refused", "--base-image"),
    ("no-such-base.buildkit", "build.base-image", "there is no such base image", "docker login"),
    ("no-such-base.classic", "build.base-image", "registry.example.com/team/no-such-base:1", "--base-image"),
    ("apt-unknown.buildkit", "build.system-libraries", "Unable to locate package libodd-nothing7", "--base-image"),
    ("apt-unknown.classic", "build.system-libraries", "Unable to locate package libodd-nothing7", "--base-image"),
    ("apt-no-such-host.buildkit", "build.apt-unreachable", "Could not resolve", "ENVELOPE_APT_CONF"),
    ("apt-proxy-password.buildkit", "build.apt-proxy-password", "asks for a password", "Acquire::http::Proxy"),
    ("apt-proxy-down.buildkit", "build.apt-unreachable", "Connection refused", "ENVELOPE_APT_CONF"),
    ("apt-certificate.buildkit", "build.apt-certificate", "nobody who is trusted", "SSL_CERT_FILE"),
    ("apt-certificate.classic", "build.apt-certificate", "nobody who is trusted", "SSL_CERT_FILE"),
    ("apt-401.buildkit", "build.apt-forbidden", "other credentials", "ENVELOPE_APT_CONF"),
    ("apt-403.buildkit", "build.apt-forbidden", "other credentials", "ENVELOPE_APT_CONF"),
    ("disk-full.buildkit", "build.disk-full", "no room left", "docker system df"),
    ("disk-full.classic", "build.disk-full", "no room left", "docker system df"),
    ("missing-file.buildkit", "build.dockerfile", "does not fit", "envelope render"),
    ("missing-file.classic", "build.dockerfile", "does not fit", "envelope render"),
    ("bad-dockerfile.buildkit", "build.dockerfile", "unknown instruction: RUNN", "envelope render"),
    ("engine-lost.buildkit", "engine.lost", "went away in the middle", "docker info"),
    ("engine-down.buildkit", "engine.lost", "went away in the middle", "docker info"),
]


def log_of(name: str) -> BuildLog:
    log = BuildLog()
    lines = (SAID / f"{name}.txt").read_text().splitlines()
    if name.endswith("buildkit"):
        for line in lines:
            log.line(line)
    else:
        for line in lines[:-1]:
            log.event({"stream": f"{line}\n"})
        log.event({"error": lines[-1]})
    return log


@pytest.mark.parametrize(("name", "code", "words", "hint"), TOLD, ids=[row[0] for row in TOLD])
def test_what_was_said_is_translated(name, code, words, hint):
    error = build_failed(log_of(name), lock=LOCK)
    assert error.code == code, error
    assert error.message.startswith("the image cannot be built")
    assert words in error.message
    assert hint in error.hint
    told = f"{error.message}\n{error.detail}"
    for noise in ("executor failed running", "------", "returned a non-zero code", "\x1b", " ---> ", "sha256:0"):
        assert noise not in error.detail, told


def test_every_text_is_held_against_the_table():
    assert {path.stem for path in SAID.iterdir()} - {row[0] for row in TOLD} == {
        # pip tells of an index that answers with errors what it tells of a package that is not there.
        "index-500.pip.buildkit",
    }


def test_lines_of_the_lock_and_the_dockerfile_are_named():
    dockerfile = (
        "# a comment\n"
        "ARG BASE_IMAGE=python:3.11-slim\n"
        "FROM ${BASE_IMAGE} AS builder\n"
        "RUN --mount=type=cache,target=/root/.cache \\\n"
        "    python3 -m model_envelope.assembling packages \\\n"
        "    /requirements.lock\n"
    )
    log = BuildLog()
    log.line(
        "#1 [builder 2/2] RUN --mount=type=cache,target=/root/.cache     python3 -m model_envelope.assembling packages"
    )
    log.line("#1 0.5 ERROR: No matching distribution found for Tiny==1.0")
    log.line("#1 ERROR: executor failed running [/bin/sh -c python3 -m x]: exit code: 1")
    assert "(line 3 of requirements.lock)" in build_failed(log, dockerfile=dockerfile, lock=LOCK).message
    log = BuildLog()
    log.line(
        "#1 [builder 2/2] RUN --mount=type=cache,target=/root/.cache     python3 -m model_envelope.assembling packages"
        "     /requirements.lock"
    )
    log.line("#1 0.5 error: Hash mismatch for `needsc==1.0`")
    log.line("#1 ERROR: executor failed running [/bin/sh -c python3 -m x]: exit code: 1")
    message = build_failed(log, dockerfile=dockerfile, lock=LOCK).message
    assert message.endswith("(line 6 of requirements.lock, line 4 of the Dockerfile)")


def test_the_classic_builder_names_the_base_of_the_dockerfile():
    log = BuildLog()
    for line in ("Step 1/3 : ARG BASE_IMAGE=a/b:1", "Step 2/3 : FROM ${BASE_IMAGE} AS builder"):
        log.event({"stream": f"{line}\n"})
    log.event({"error": 'Get "https://registry.example.com/v2/": dial tcp: connect: connection refused'})
    error = build_failed(log, dockerfile="ARG BASE_IMAGE=a/b:1\nFROM ${BASE_IMAGE} AS builder\n")
    assert error.message.startswith("the image cannot be built on `a/b:1`: ")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("the base image has no apt-get to install libgomp1 libgl1", "build.system-libraries"),
        ("envelope: error: the base image has Python 3.13, and the envelope needs 3.11", "build.base-python"),
        (
            'unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory',
            "build.base-without-shell",
        ),
        ("the conda lock has Python 3.12, and the envelope needs 3.11", "build.conda-python"),
        ("/bin/sh: 1: micromamba: not found", "build.micromamba"),
        ("conda packages cannot be installed: micromamba ended with 1", "build.conda-packages"),
        (
            "The virtual environment was not created successfully because ensurepip is not\navailable",
            "build.base-without-pip",
        ),
        ("OSError: [Errno 28] No space left on device", "build.disk-full"),
        ("error: failed to write: No space left on device (os error 28)", "build.disk-full"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "build.disk-full"),
        ("E: Release file for http://x/InRelease is not valid yet (invalid for another 2h)", "build.apt-untrusted"),
        ("Failed building wheel for odd\nfatal error: ft2build.h: No such file", "build.no-wheel"),
        (
            "  error: command 'gcc' failed: No such file or directory\n  ERROR: Failed building wheel for a",
            "build.no-compiler",
        ),
        (
            "WARNING: 401 Error, Credentials not correct for https://i/\nNo matching distribution found for a",
            "build.index-forbidden",
        ),
        (
            "error: can't find Rust compiler\nERROR: Failed to build 'tokens' when getting requirements to build wheel",
            "build.no-compiler",
        ),
        ("something else entirely", "build.failed"),
    ],
)
def test_words_of_programs_are_understood(said, code):
    assert reason_of(said)[1] == code


def test_a_registry_is_meant_only_where_the_base_image_is_fetched():
    said = "dial tcp: lookup x: no such host"
    assert reason_of(said, "base image")[1] == "build.base-image"
    assert reason_of(said, "packages")[1] != "build.base-image"


def test_a_build_that_took_too_long_is_said_with_what_went_on():
    log = BuildLog()
    log.line("#1 [builder 2/2] RUN python3 -m model_envelope.assembling packages /requirements.lock")
    log.line("#1 0.5 collecting torch")
    error = build_failed(log, timed_out=True)
    assert error.code == "build.timeout"
    assert error.detail == "collecting torch"
    assert "cached" in error.hint
