"""pip-tools: comes with this tool, so it is always there; solves for the interpreter that runs it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_envelope.dependencies.file_names import listed_lock
from model_envelope.dependencies.programs import has_module
from model_envelope.dependencies.resolvers.base import LockRequest
from model_envelope.dependencies.resolvers.diagnosis import explain
from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolMissing
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.interpreter import describe
from model_envelope.foundation.lockfile import Lock, Pin

TIMEOUT = 1800.0
# What pip-tools calls unsafe (setuptools) is a need like any other, and uv locks it too.
_COMPILE = (
    "compile requirements.in --constraint constraints.txt --output-file requirements.lock --no-config "
    "--allow-unsafe --strip-extras --no-annotate --no-header --no-emit-index-url "
    "--no-emit-trusted-host --no-emit-find-links"
)


@dataclass(frozen=True)
class PipTools:
    """The resolver of `python -m piptools compile`."""

    name: str = "pip-tools"

    def available(self) -> bool:
        """Whether pip-tools is installed beside this tool."""
        return has_module("piptools")

    def lock(self, request: LockRequest) -> Lock:
        """Solve a request with pip-tools.

        Raises :class:`ToolMissing` where the request is for another platform or Python than this tool's own: uv is
        needed for that.
        """
        if not self.available():
            raise ToolMissing("`pip-tools` is not installed", code="lock.no-pip-tools", hint="`pip install pip-tools`")
        own, asked = describe(Path(sys.executable)), describe(request.python)
        same = (own.series, own.implementation, own.platform) == (asked.series, asked.implementation, asked.platform)
        if request.is_foreign or not same:
            wanted = f"the lock is to be for {request.described()}" if request.is_foreign else f"the model's is {asked}"
            raise ToolMissing(
                f"`pip-tools` locks only for the Python and the machine that this tool runs in ({own}), and {wanted}",
                code="lock.needs-uv",
                hint="install uv, which locks for any platform and Python: `pip install 'model-envelope[uv]'`",
            )
        with scratch_folder(prefix="envelope-lock-") as folder:
            (folder / "requirements.in").write_bytes(request.requirement_lines())
            (folder / "constraints.txt").write_bytes(request.constraint_lines())
            found = self._compile(request, folder)
            versions = _versions(found)
            listed = listed_lock(
                {name: versions[name] for name in versions if name not in request.wheels}, request.index
            )
            if listed is not None:
                travelling = [
                    Pin(name, "", (), source=path.as_uri()) for name, path in request.wheels.items() if name in versions
                ]
                return request.settled(Lock((*listed.pins, *travelling)))
            # An index that lists no hashes, or that this tool may not ask: pip-tools fetches every file to know them.
            return request.settled(
                Lock.parse(self._compile(request, folder, "--generate-hashes"), where="pip-tools' answer")
            )

    def _compile(self, request: LockRequest, folder: Path, *options: str) -> bytes:
        finished = process.run(
            [sys.executable, "-m", "piptools", *_COMPILE.split(), *options],
            cwd=folder,
            env=process.environment({**request.index.pip_environment(), "PIP_NO_COLOR": "1", "PIP_NO_INPUT": "1"}),
            timeout=TIMEOUT,
        )
        if not finished.ok:
            raise explain(request, finished, self.name)
        return (folder / "requirements.lock").read_bytes()


def _versions(requirements: bytes) -> dict[str, str]:
    """Read the versions of a solved file of requirements by canonical name, empty where an address is named."""
    lines = (line for line in requirements.decode().splitlines() if line and not line.startswith(("#", "-", " ")))
    wishes = map(Requirement, lines)
    return {canonicalize_name(wish.name): str(wish.specifier).removeprefix("==") for wish in wishes}
