"""Locks a conda environment for several platforms: conda-lock asks a conda of this machine to solve each of them.

What the packing environment has is asked for again: Python, the direct needs and all that they lead to, by the names
and versions of the conda packages that have them there; what pip installed there goes to the lock's pip section.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from model_envelope.dependencies.conda.channels import Channels
from model_envelope.dependencies.conda.environment import CondaEnvironment
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_conda, find_conda_lock
from model_envelope.foundation import process
from model_envelope.foundation.conda_lock import CondaLock
from model_envelope.foundation.errors import InvalidInput, ToolFailed, ToolMissing, Unsolvable
from model_envelope.foundation.files import json_bytes, scratch_folder
from model_envelope.foundation.secrets import scrub

NAME = "conda-lock"
"""What `--resolver` calls it."""
TIMEOUT = 3600.0


@dataclass(frozen=True)
class CondaLockRequest:
    """What to lock for conda.

    ``requirements`` are the bytes of a requirements file, the direct needs; ``along`` all that they lead to in the
    packing ``environment``, by canonical name, with the versions there. ``platforms`` are conda's names of them.
    ``origins`` says where distributions of that environment come from that were installed from no index (PEP 610).
    ``upgrades`` are distributions, by canonical name, that are to have another version than there: the one that is
    given, or any where that is empty.
    """

    requirements: bytes
    along: Mapping[str, str]
    environment: CondaEnvironment
    platforms: Sequence[str]
    channels: Channels = field(default_factory=Channels)
    index: IndexSettings = field(default_factory=IndexSettings)
    origins: Mapping[str, str] = field(default_factory=dict)
    upgrades: Mapping[str, str] = field(default_factory=dict)

    def conda_specs(self) -> list[str]:
        """Give the conda packages to ask for, with the versions of the packing environment but for upgrades."""
        packages = self.environment.packages
        names = {"python"} | {name for key in (*self._lines(), *self.along) if (name := self._owner(key))}
        if self.pip_lines():
            names |= {"pip"} & packages.keys()
        wanted = {name: packages[name] for name in names}
        wanted |= {name: version for key, version in self.upgrades.items() if (name := self._owner(key))}
        return [f"{name} =={version}" if version else name for name, version in sorted(wanted.items())]

    def pip_lines(self) -> list[str]:
        """Give what conda has no package of, as pip reads it."""
        needs = {key: line for key, line in self._lines().items() if not self._owner(key)}
        along = {key: f"{key}=={version}" for key, version in self.along.items() if not self._owner(key)}
        return [self._upgraded(key, line) for key, line in sorted({**along, **needs}.items())]

    def from_elsewhere(self) -> dict[str, str]:
        """Give what pip installed from no index, and where it came from: no index can be asked for it."""
        names = (re.split(r"[\s=<>!~;@\[]", line, maxsplit=1)[0] for line in self.pip_lines() if "==" in line)
        return {key: self.origins[key] for name in names if (key := canonicalize_name(name)) in self.origins}

    def names(self) -> dict[str, dict[str, str]]:
        """Give which conda package has which distribution, as conda-lock reads it: for these it asks nobody else."""
        return {key: {"conda_name": name, "pypi_name": key} for key, name in sorted(self.environment.owners.items())}

    def document(self) -> dict[str, object]:
        """Give the environment.yml. Addresses have their credentials here: it is never kept."""
        pip = self.pip_lines()
        configured = self.index.index_url
        indexes = [
            url for url in (configured, *self.index.extra_index_urls) if url and url.startswith(("http:", "https:"))
        ]
        return {
            "channels": [self.channels.authorised(channel) for channel in self.environment.channels],
            "dependencies": [*self.conda_specs(), *([{"pip": pip}] if pip else [])],
            "pip-repositories": indexes,
            "allow-pypi-requests": configured is None and not self.index.no_index,
        }

    def redact(self, text: str) -> str:
        """Take the credentials of channels and indexes out of a text that is shown."""
        return scrub(text, self.channels.secrets() | self.index.secrets())

    def _upgraded(self, key: str, line: str) -> str:
        version = self.upgrades.get(key)
        return line if version is None else re.sub(r"==[^\s;]+", f"=={version}" if version else "", line)

    def _owner(self, key: str) -> str | None:
        # A need that names its own range stands in the place of what is installed here.
        line = self._lines().get(key, "")
        return None if line and "==" not in line else self.environment.owners.get(key)

    def _lines(self) -> dict[str, str]:
        lines = (line.strip() for line in self.requirements.decode().splitlines())
        return {
            canonicalize_name(re.split(r"[\s=<>!~;@\[]", line, maxsplit=1)[0]): line
            for line in lines
            if line and not line.startswith(("#", "-"))
        }


def lock_conda(request: CondaLockRequest) -> CondaLock:
    """Solve a request for all its platforms.

    Raises :class:`ToolMissing` where conda-lock (``lock.no-conda-lock``) or every conda (``lock.no-conda``) is missing,
    :class:`InvalidInput` (``lock.no-channels``) where nobody knows where the packages came from, :class:`Unsolvable`
    for a package that is gone (``lock.package-gone``) and for needs that exclude each other (``lock.unsolvable``), and
    :class:`ToolFailed` where a channel or index cannot be reached (``lock.channel-unreachable``,
    ``lock.index-unreachable``) and where conda-lock fails otherwise.
    """
    program, conda = programs()
    if not request.environment.channels:
        raise InvalidInput(
            "the conda environment does not say which channels its packages came from, and conda's settings name none",
            code="lock.no-channels",
            hint="name them in a .condarc: `conda config --add channels conda-forge`",
        )
    if elsewhere := request.from_elsewhere():
        shown = ", ".join(f"`{name}` (from {request.redact(origin)})" for name, origin in elsewhere.items())
        raise Unsolvable(
            f"the environment has packages that were not installed from an index, and no index has them: {shown}",
            code="lock.unsolvable",
            hint="build a conda package or a wheel of it, put that on a channel or index, and install it from there",
        )
    with scratch_folder(prefix="envelope-lock-") as folder:
        (folder / "environment.yml").write_bytes(json_bytes(request.document()))
        (folder / "names.json").write_bytes(json_bytes(request.names()))
        cuda = request.environment.packages.get("cuda-version")
        finished = process.run(
            [
                *(*program, "lock", "--conda", conda, "--file", "environment.yml", "--lockfile", "conda-lock.yml"),
                *("--pypi_to_conda_lookup_file", folder / "names.json", "--log-level", "WARNING"),
                *(("--with-cuda", cuda) if cuda else ("--without-cuda",)),
                *(word for platform in request.platforms for word in ("--platform", platform)),
            ],
            cwd=folder,
            env=process.environment(_variables(request.index)),
            timeout=TIMEOUT,
        )
        if not finished.ok:
            raise _error(request, finished, conda)
        content = (folder / "conda-lock.yml").read_bytes()
    found = CondaLock.parse(content, where="conda-lock's answer")
    return CondaLock(request.environment.channels, found.packages, request.environment.owners)


def programs() -> tuple[list[str | Path], Path]:
    """Give the words that start conda-lock, and the conda that it is to ask.

    Raises :class:`ToolMissing` (``lock.no-conda-lock``, ``lock.no-conda``).
    """
    program, conda = find_conda_lock(), find_conda()
    if program is None:
        raise ToolMissing(
            "`conda-lock` is not installed, and a conda environment is locked with it",
            code="lock.no-conda-lock",
            hint="`pip install 'model-envelope[conda-lock]'`; without `--resolver conda-lock` the packages are locked "
            "as PyPI has them",
        )
    if conda is None:
        raise ToolMissing(
            "there is no `micromamba`, `mamba` or `conda` on PATH, and conda-lock needs one of them to solve",
            code="lock.no-conda",
            hint="install micromamba (https://mamba.readthedocs.io), or put the one that you have on PATH",
        )
    return program, conda


def _variables(index: IndexSettings) -> dict[str, str | None]:
    """Give the variables for conda-lock: its pip solver fetches with requests."""
    certificates = str(index.ca_bundle) if index.ca_bundle else None
    settings = {"REQUESTS_CA_BUNDLE": certificates, "HTTPS_PROXY": index.proxy, "HTTP_PROXY": index.proxy}
    return {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", **{name: value for name, value in settings.items() if value}}


_PLATFORM = re.compile(r"Could not lock the environment for platform (\S+)")
_UNREACHABLE = (
    r"CondaHTTPError",
    r"UnavailableInvalidChannel",
    r"(?:Connection|Download) (?:failed|error)",
    r"Could ?n[o']t? (?:resolve|connect|reach)",
    r"failed to (?:fetch|download|connect)",
    r"error sending request",
    r"ProxyError",
    r"HTTP (?:status )?(?:client |server )?(?:error|40[134]|5\d\d)",
    r"repodata[^\n]*(?:not found|does not exist|No such file)",
    r"(?:not found|does not exist|No such file)[^\n]*repodata",
)
_INDEX_UNREACHABLE = (
    r"All attempts to connect to",
    r"HTTPSConnectionPool|HTTPConnectionPool",
    r"requests\.exceptions\.ConnectionError",
)
_GONE = (
    r"No candidates were found for (?P<what>[\w.-]+(?: [^\s.]\S*)?)",
    r"(?P<what>[\w.-]+ ?[=<>]*[\w.*]*),? (?:which )?does not exist \(perhaps a typo",
    r"nothing provides requested (?P<what>[\w.-]+(?: \S+)?)",
    r"not available from current channels:\s*\n+\s*- (?P<what>[^\n]+)",
    r"depends on (?P<what>[\w.-]+ \([^)]+\)) which doesn't match any versions",
    r"Unable to find installation candidates for (?P<what>[^\n]+)",
)
_UNSOLVABLE = (
    r"unsatisfiable|cannot (?:solve|be installed)|could not solve|conflict|nothing provides|not installable"
    r"|problems while solving|SolverProblemError|version solving failed"
)


def _error(request: CondaLockRequest, finished: process.Finished, conda: Path) -> Unsolvable | ToolFailed:
    said = finished.stderr + finished.stdout
    detail = request.redact(_solver_said(said))
    match = _PLATFORM.search(said)
    where = f" for {match[1]}" if match else ""
    channels = ", ".join(f"`{request.redact(channel)}`" for channel in request.environment.channels)
    if finished.timed_out:
        return ToolFailed(
            "conda-lock did not find a lock in time and was ended",
            code="lock.timeout",
            detail=detail,
            hint="fewer platforms (`--platform`) take less time, and micromamba solves faster than conda",
        )
    # The pip section is solved when conda has solved all platforms, so what it says names no platform.
    if not match and any(re.search(pattern, said) for pattern in _INDEX_UNREACHABLE):
        return ToolFailed(
            "the package index cannot be reached, so what pip installed there was not locked",
            code="lock.index-unreachable",
            detail=detail,
            hint="check the network and pip's settings (`pip config list`); `--no-lock` packs without a lock, "
            "and `envelope lock` makes it later",
        )
    if any(re.search(pattern, said, re.IGNORECASE) for pattern in _UNREACHABLE):
        return ToolFailed(
            f"a channel cannot be reached, so nothing was locked: {channels}",
            code="lock.channel-unreachable",
            detail=detail,
            hint="check the network and conda's settings (`conda config --show-sources`); `--no-lock` packs without a "
            "lock, and `envelope lock` makes it later",
        )
    gone = next((found["what"].strip() for pattern in _GONE if (found := re.search(pattern, said))), None)
    if gone is not None:
        source = channels if match else "the package index"
        return Unsolvable(
            f"{source} has no `{request.redact(gone)}`{where}",
            code="lock.package-gone",
            detail=detail,
            hint="name the platforms that have it with `--platform`; a version that is gone has to be replaced in the "
            "packing environment, and the model trained with it",
        )
    if re.search(_UNSOLVABLE, said, re.IGNORECASE):
        wanted = ", ".join(f"`{spec}`" for spec in request.conda_specs()[:12])
        return Unsolvable(
            f"no set of packages satisfies the needs together with the versions of this environment{where}: {wanted}",
            code="lock.unsolvable",
            detail=detail,
            hint="what the solver says above names who asks for what; `--platform` leaves out a platform, and "
            "`--resolver auto` locks the packages as PyPI has them",
        )
    return ToolFailed(
        f"locking: conda-lock with `{conda.name}` ended with {finished.returncode}",
        code="lock.failed",
        detail=detail,
        hint="`--no-lock` packs without a lock, and `envelope lock` makes it later",
    )


_WRAPPING = ("Command: [", "STDOUT:", "STDERR:", "The above exception was", "During handling of the above")


def _solver_said(said: str, lines: int = 25) -> str:
    """Give what the solver said, without what conda-lock wraps it in."""
    kept: list[str] = []
    inside = False
    for line in said.splitlines():
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and line and not line.startswith((" ", "\t")):
            inside = False
            kept += [] if "CalledProcessError" in line else [line]
        elif not inside and line.strip() and not line.lstrip().startswith(_WRAPPING):
            kept.append(line)
    # conda-lock shows the JSON of the answer once more below its message.
    shown = [line for line in dict.fromkeys(kept) if not re.match(r'\s*[{}"\]]', line)]
    return "\n".join(shown[-lines:]).strip() or json.dumps(kept[-1:])
