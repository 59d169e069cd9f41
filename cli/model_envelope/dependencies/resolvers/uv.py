"""uv: solves for any interpreter, in a second."""

from __future__ import annotations

from dataclasses import dataclass

from model_envelope.dependencies.programs import find_uv
from model_envelope.dependencies.resolvers.base import LockRequest, Symptoms
from model_envelope.foundation import process
from model_envelope.foundation.errors import ToolMissing
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.lockfile import Lock

TIMEOUT = 900.0
_COMPILE = (
    "pip compile requirements.in --constraint constraints.txt --output-file requirements.lock --generate-hashes "
    "--strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links --no-progress --color never "
    "--quiet"
)
_SYMPTOMS = Symptoms(
    unreachable=(
        r"error sending request",
        r"failed to (?:fetch|connect)",
        r"could not connect",
        r"dns error",
        r"operation timed out",
        r"network connectivity is disabled",
    ),
    unsolvable=(
        r"no solution found",
        r"not found in the (?:package registry|cache|provided package locations)",
        r"requirements are unsatisfiable",
        r"conflicting",
        r"no versions? of",
    ),
)


@dataclass(frozen=True)
class Uv:
    """The resolver of `uv pip compile`."""

    name: str = "uv"

    def available(self) -> bool:
        """Whether uv is beside this tool or on PATH."""
        return find_uv() is not None

    def lock(self, request: LockRequest) -> Lock:
        """Solve a request with uv."""
        uv = find_uv()
        if uv is None:
            raise ToolMissing(
                "`uv` is not installed",
                code="lock.no-uv",
                hint="`pip install 'model-envelope[uv]'`, or lock with `--resolver pip-tools`",
            )
        with scratch_folder(prefix="envelope-lock-") as folder:
            (folder / "requirements.in").write_bytes(request.requirements)
            (folder / "constraints.txt").write_bytes(request.constraint_lines())
            finished = process.run(
                [uv, *_COMPILE.split(), "--python", request.python],
                cwd=folder,
                env=process.environment({"VIRTUAL_ENV": None, **request.index.uv_environment()}),
                timeout=TIMEOUT,
            )
            if not finished.ok:
                raise _SYMPTOMS.error(request, finished, "uv")
            return Lock.parse((folder / "requirements.lock").read_bytes(), where="uv's answer")
