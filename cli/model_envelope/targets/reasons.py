"""Translates what a builder said when it failed: which of its many lines is the reason, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.troubles import trouble_in
from model_envelope.targets.build_log import BASE, PACKAGES, BuildLog, subject_of

_SHOWN = 25
_LONGEST = 300


@dataclass(frozen=True)
class _Reason:
    """One thing that goes wrong: how it is said, ``{name}`` being a group of the pattern, and what to do.

    ``of`` is the only step (by its name) of which the words mean that; empty for any.
    """

    pattern: str
    text: str
    code: str
    hint: str
    of: str = ""


_ANOTHER_BASE = "name another base image: `--base-image`, or ENVELOPE_BASE_IMAGE"
_APT_CONF = (
    "name a base image that has the libraries (see `envelope show`), or an apt.conf for builds with what is needed to "
    "reach a mirror: ENVELOPE_APT_CONF"
)
_UPGRADE = "`envelope lock ENVELOPE --upgrade-package {package}` finds a version that has one"
_NO_BASE = "there is no such base image, or this engine may not have it: {what}"
_BASE_HINT = (
    "name a base image that this engine has or can pull: `--base-image`, or ENVELOPE_BASE_IMAGE; where a registry asks "
    "who you are, `docker login`"
)
# pip names the package only where its source got as far as being compiled, or where pip is new.
_BUILDING = (
    r"(?s).*?(?:Failed building wheel for (?P<package>[^\s`]+)|Failed to build [`'](?P<package2>[^`']+)[`'])"
    r"|.*?(?:Getting requirements to build wheel|Preparing metadata \([^)]*\)) did not run successfully"
)

# The first that fits. What cuts a build short comes before what only follows from that.
_BEFORE_INDEX = (
    _Reason(
        r"(?i)cannot connect to the docker daemon|(?:^|\n)(?:error during connect|unexpected EOF\s*$)"
        r"|transport is closing|error reading from server: EOF",
        "the Docker Engine went away in the middle of it",
        "engine.lost",
        "see that it runs (`docker info`), and build again: what was done is cached",
    ),
    _Reason(
        r"(?i)(?P<what>[^\n]*(?:no space left on device|disk quota exceeded|enough free space)[^\n]*)",
        "there is no room left on the engine's disk: {what}",
        "build.disk-full",
        "make room: `docker system df` shows what takes it, `docker builder prune` removes what only speeds builds up",
    ),
    _Reason(
        r"(?P<what>the base image has no apt-get to install [a-z][^\n]*)",
        "{what}",
        "build.system-libraries",
        "name a base image of Debian or Ubuntu, or one that has these libraries: `--base-image`",
    ),
    _Reason(
        r"(?:Failed to fetch|Err:\d+) (?P<what>\S+)[^\n]*407\s+Proxy Authentication",
        "the proxy before Debian's mirror asks for a password ({what})",
        "build.apt-proxy-password",
        'name it in an apt.conf for builds (ENVELOPE_APT_CONF): `Acquire::http::Proxy "http://USER:PASSWORD@HOST:PORT";`',
    ),
    _Reason(
        r"(?:Failed to fetch|Err:\d+) (?P<what>\S+)[^\n]*\s40[13]\s",
        "the mirror of Debian's packages wants other credentials ({what})",
        "build.apt-forbidden",
        "put user and password into an apt.conf for builds: ENVELOPE_APT_CONF",
    ),
    _Reason(
        r"Failed to fetch (?P<what>\S+)[^\n]*(?:[Cc]ertificate|handshake)",
        "the certificate of {what} is signed by nobody who is trusted",
        "build.apt-certificate",
        "name a file with the certificate of your authority: `pip config set global.cert FILE`, or SSL_CERT_FILE",
    ),
    _Reason(
        r"(?:Failed to fetch|Err:\d+) (?P<what>[^\n]*)",
        "a package of the system cannot be fetched: {what}",
        "build.apt-unreachable",
        _APT_CONF,
    ),
    _Reason(
        r"E: (?P<what>(?:Release file for|The repository|GPG error)[^\n]*)",
        "apt does not trust the mirror: {what}",
        "build.apt-untrusted",
        "is the engine's clock right? Name another base image, or another mirror in an apt.conf: ENVELOPE_APT_CONF",
    ),
    _Reason(
        r"E: (?P<what>(?:Unable to locate package|Package '[^']*' has no|Couldn't find any package)[^\n]*)",
        "apt in the base image says: {what}",
        "build.system-libraries",
        "name a base image that has the library or knows the package: `--base-image`; `envelope show` lists both",
    ),
    _Reason(
        r"(?P<what>the conda lock has Python \d[\d.]*, and the envelope needs \d[\d.]*)",
        "{what}",
        "build.conda-python",
        "lock again: `envelope lock ENVELOPE --resolver conda-lock`",
    ),
    _Reason(
        r"micromamba: (?:command )?not found",
        "the image that conda packages are installed in has no micromamba",
        "build.micromamba",
        "name one that has: `--micromamba-image`, or ENVELOPE_MICROMAMBA_IMAGE",
    ),
    _Reason(
        r"conda packages cannot be installed: (?P<what>[^\n\"]*)",
        "micromamba cannot install the conda packages; what it said stands above",
        "build.conda-packages",
        "is a channel out of reach, or a package gone from it? `envelope verify --clean` tries it on this machine",
    ),
    _Reason(
        r"(?P<what>the base image has Python \d[\d.]*, and the envelope needs \d[\d.]*)",
        "{what}",
        "build.base-python",
        "name a base image with this Python: `--base-image`, or ENVELOPE_BASE_IMAGE",
    ),
    _Reason(
        r"python3: (?:command )?not found|\"python3\": executable file not found",
        "the base image has no `python3`",
        "build.base-without-python",
        f"the packages are installed with the base image's own Python; {_ANOTHER_BASE}",
    ),
    _Reason(
        r"exec: \"/bin/sh\": stat /bin/sh: no such file",
        "the base image has no shell (`/bin/sh`)",
        "build.base-without-shell",
        f"packages are installed in the base image itself, as in `python:3.11-slim`; {_ANOTHER_BASE}",
    ),
    _Reason(
        r"the base image has neither uv nor pip|ensurepip is not\s+available|No module named '?(?:venv|ensurepip)",
        "the base image's Python can neither make environments nor install packages: it lacks `venv` or `ensurepip`",
        "build.base-without-pip",
        f"on Debian that is `python3-venv`; {_ANOTHER_BASE}",
    ),
    _Reason(
        r"(?P<what>(?:pull access denied|manifest (?:for \S+ )?(?:unknown|not found)|failed to resolve source metadata"
        r"|repository does not exist)[^\n]*)",
        _NO_BASE,
        "build.base-image",
        _BASE_HINT,
    ),
    _Reason(
        r"(?P<what>[^\n]*(?:\S:\s+not found|manifest unknown|authorization failed|unauthorized|denied)[^\n]*)",
        _NO_BASE,
        "build.base-image",
        _BASE_HINT,
        of=BASE,
    ),
    _Reason(
        r"(?P<what>(?:dial tcp|x509)[^\n]*|i/o timeout|Client\.Timeout[^\n]*)",
        "the engine does not have the base image, and cannot reach the registry that does ({what})",
        "build.base-image",
        "name a base image that this engine has: `--base-image`, or ENVELOPE_BASE_IMAGE",
        of=BASE,
    ),
    _Reason(
        r"(?P<what>[^\n]+)",
        "the base image cannot be had: {what}",
        "build.base-image",
        "name a base image that this engine has or can pull: `--base-image`, or ENVELOPE_BASE_IMAGE",
        of=BASE,
    ),
    _Reason(
        r"(?i)DO NOT MATCH THE HASHES[^\n]*\n\s*(?P<package>[^\s=]+==\S+)|hash mismatch for `(?P<package2>[^`]+)`",
        "the index gave another file of {package} than the one that was locked, or not all of it",
        "build.hashes",
        "build again, in case it broke off; if it is the same then, look into that file before you lock it anew",
    ),
    _Reason(
        _BUILDING,
        "{package} has no ready wheel for this Python and platform, and building it takes a compiler that the base "
        "image does not have ({what})",
        "build.no-compiler",
        f"{_UPGRADE}; or build on an image with a compiler: `--base-image`",
    ),
)
_AFTER_INDEX = (
    _Reason(
        _BUILDING,
        "{package} has no ready wheel for this Python and platform, and cannot be built from its source",
        "build.no-wheel",
        f"{_UPGRADE}; or build on an image with what it needs: `--base-image`",
    ),
    _Reason(
        r"Because (?:only )?(?P<package>\S+) has no wheels with a matching[^\n]*",
        "no file of {package} is for this Python and platform, though it is locked",
        "build.no-wheel",
        "lock for the platform of the image: `envelope lock ENVELOPE --platform linux/amd64`",
    ),
    _Reason(
        r"(?:No matching distribution found for|requirement) (?P<package>\S+)[^\n]* \(from versions: none\)",
        "the index has nothing of {package} for this Python and platform, or refuses to list it (pip does not tell)",
        "build.package",
        "does the index that pip names on this machine have it (`pip config list`), and are its credentials right?",
    ),
    _Reason(
        r"(?:No matching distribution found for |Could not find a version that satisfies the requirement "
        r"|Because (?:there is no version of )?)(?P<package>[^\s,]+)",
        "the index has no {package}, or not for this platform",
        "build.package",
        "the build asks the index that pip's configuration on this machine names: is it the one that was locked from?",
    ),
    _Reason(
        r"(?P<what>dockerfile parse error[^\n]*|(?:unknown instruction|unknown flag): [^\n]*|COPY failed: [^\n]*"
        r"|failed to (?:walk|calculate checksum|compute cache key)[^\n]*)",
        "the Dockerfile of the target does not fit what is built: {what}",
        "build.dockerfile",
        "a target of your own must copy what `envelope render` writes; those of this tool need docker 20.10 or newer",
    ),
)
_COMPILER = re.compile(
    r"No such file or directory: '(?P<program>[^']*(?:cc|\+\+|clang|cargo|rustc|gfortran|cmake|ninja)[^'/]*)'"
    r"|(?:command '|unable to execute '?)(?P<program2>[^\s':]*(?:cc|\+\+|clang|gfortran)[^\s':]*)"
    r"|(?P<program3>cargo|rustc)[^\n]{0,60}(?:is not installed|not found)|can't find (?P<program4>Rust) compiler"
    r"|Unknown compiler\(s\): \[\['?(?P<program5>\w+)"
)


def build_failed(log: BuildLog, *, timed_out: bool = False, dockerfile: str = "", lock: bytes = b"") -> ToolFailed:
    """Translate what a builder said: the reason first, the end of what failed as detail.

    ``dockerfile`` and ``lock`` are the texts that were built from: their lines are named.
    """
    log.finish()
    said, instruction = log.said, log.failed
    lines = [line for line in said.rstrip().splitlines() if line.strip()]
    detail = "\n".join(lines[-_SHOWN:])
    if timed_out:
        return ToolFailed(
            "the build took too long and was ended",
            code="build.timeout",
            detail=detail,
            hint="what was done is cached, so the next build goes on from there; the log says what took so long",
        )
    why, code, hint, package = reason_of(said, subject_of(instruction))
    places = [
        f"line {number} of {name}"
        for name, number in (
            ("requirements.lock", _line_of_package(lock.decode("utf-8", "replace"), package)),
            ("the Dockerfile", _line_of_instruction(dockerfile, instruction)),
        )
        if number
    ]
    base = _base_of(instruction, dockerfile)
    what = f"the image cannot be built on `{base}`" if base else "the image cannot be built"
    where = f" ({', '.join(places)})" if places else ""
    # What the message says already is not repeated.
    detail = "" if all(line.removeprefix("envelope: error: ") in why for line in lines) else "\n".join(lines[-_SHOWN:])
    return ToolFailed(f"{what}{why and ': '}{why}{where}", code=code, detail=detail, hint=hint)


def reason_of(said: str, step: str = PACKAGES) -> tuple[str, str, str, str]:
    """Give what a text of a failure means: in words, its code, a hint, and the package that it is about.

    Empty words where nobody knows.
    """
    for reason in _BEFORE_INDEX:
        if found := _told(reason, said, step):
            return found
    if step not in {BASE, ""} and (trouble := trouble_in(said)):
        package = re.search(r"Failed to download `([^`]+)`", said)
        return trouble.text + _at(said), f"build.{trouble.kind}", trouble.hint, package[1] if package else ""
    for reason in _AFTER_INDEX:
        if found := _told(reason, said, step):
            return found
    return "", "build.failed", "the end of what the builder said stands above", ""


def _told(reason: _Reason, said: str, step: str) -> tuple[str, str, str, str] | None:
    if reason.of not in {"", step} or not (found := re.search(reason.pattern, said)):
        return None
    groups = found.groupdict()
    package = groups.get("package") or groups.get("package2") or ""
    what = (groups.get("what") or "").strip()[:_LONGEST]
    if reason.code == "build.no-compiler":
        compiler = _COMPILER.search(said)
        if compiler is None:
            return None
        what = next(filter(None, compiler.groups()))
    name = re.split(r"[=<>!~\[]", package, maxsplit=1)[0]
    shown = f"`{package}`" if package else "a package that pip does not name"
    hint = reason.hint.replace("{package}", name or "PACKAGE")
    return reason.text.format(what=what, package=shown), reason.code, hint, package


def _at(said: str) -> str:
    """Name the address that an installer could not get, where it tells."""
    found = re.search(r"(?:for url|Failed to fetch:|while getting|URL:|An index(?: URL)?) \(?(https?://[^\s)]+)", said)
    return f" ({found[1]})" if found else ""


def _base_of(instruction: str, dockerfile: str) -> str:
    """Give the name of the base image that an instruction is about; empty for any other instruction."""
    named = re.match(r"(?:FROM|load metadata for) (?:docker\.io/(?:library/)?)?(\S+)", instruction)
    variable = re.fullmatch(r"\$\{(\w+)\}", named[1]) if named else None
    value = re.search(rf"(?m)^ARG {variable[1]}=(\S+)", dockerfile) if variable else None
    return value[1] if value else named[1] if named else ""


def _line_of_package(lock: str, package: str) -> int:
    name = _canonical(re.split(r"[=<>!~\[;]", package, maxsplit=1)[0].strip())
    for number, line in enumerate(lock.splitlines(), 1):
        if name and line[:1].isalnum() and _canonical(re.split(r"[=<>!~\[; ]", line, maxsplit=1)[0]) == name:
            return number
    return 0


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _line_of_instruction(dockerfile: str, instruction: str) -> int:
    """Give the line where an instruction begins that the builder shows on one line."""
    wanted = " ".join(instruction.split())
    lines = dockerfile.splitlines()
    for number, line in enumerate(lines, 1):
        if not line[:1].isalpha() or (number > 1 and lines[number - 2].endswith("\\")):
            continue
        whole = line
        for more in lines[number:]:
            if not whole.endswith("\\"):
                break
            whole = whole[:-1] + more
        if wanted and " ".join(whole.split()) == wanted:
            return number
    return 0
