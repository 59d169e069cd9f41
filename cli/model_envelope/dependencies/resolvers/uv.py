"""uv: solves for any interpreter, in a second."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.requirements import Requirement

from model_envelope.dependencies.file_names import with_files_of_all_indexes
from model_envelope.dependencies.programs import find_uv
from model_envelope.dependencies.resolvers.base import LockRequest
from model_envelope.dependencies.resolvers.diagnosis import explain
from model_envelope.foundation import process
from model_envelope.foundation.errors import InvalidInput, ToolMissing
from model_envelope.foundation.files import scratch_folder
from model_envelope.foundation.interpreter import located
from model_envelope.foundation.lockfile import Lock, Pin, unhashed_lines
from model_envelope.foundation.platforms import Platform

TIMEOUT = 900.0
_COMPILE = (
    "pip compile requirements.in --constraint constraints.txt --output-file requirements.lock --generate-hashes "
    "--strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links --no-progress --color never "
    "--quiet"
)
PLATFORMS = {
    Platform("linux", "amd64"): "x86_64-manylinux_2_36",
    Platform("linux", "arm64"): "aarch64-manylinux_2_36",
    Platform("macos", "arm64"): "aarch64-apple-darwin",
    Platform("macos", "amd64"): "x86_64-apple-darwin",
}
"""What uv calls the platforms. 2.36 is the C library of Debian 12, which the official images of Python stand on."""


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
            (folder / "requirements.in").write_bytes(request.requirement_lines())
            (folder / "constraints.txt").write_bytes(request.constraint_lines())
            finished = process.run(
                [
                    uv,
                    *_COMPILE.split(),
                    "--python",
                    located(request.python),
                    *request.index.uv_flags(),
                    *_foreign(request),
                ],
                cwd=folder,
                env=process.environment({"VIRTUAL_ENV": None, **request.index.uv_environment()}),
                timeout=TIMEOUT,
            )
            if not finished.ok:
                raise explain(request, finished, self.name)
            lock = with_files_of_all_indexes(_read((folder / "requirements.lock").read_bytes()), request.index)
            if any(not pin.hashes for pin in lock.pins):
                Lock.parse(lock.to_bytes(), where="uv's answer")
            return request.settled(lock)


def _read(answer: bytes) -> Lock:
    """Read uv's answer, in which what is on a page of `--find-links` has no hashes: they are read from there next."""
    bare = unhashed_lines(answer)
    found = map(Requirement, bare.requirements)
    pages = [Pin(each.name, str(each.specifier).removeprefix("=="), ()) for each in found]
    return Lock((*Lock.parse(bare.rest, where="uv's answer").pins, *pages))


def _foreign(request: LockRequest) -> list[str]:
    """Give the options for another platform or Python than those of the interpreter."""
    words: list[str] = []
    if request.platform is not None:
        if request.platform not in PLATFORMS:
            raise InvalidInput(
                f"the lock is to be for {request.platform}, which uv cannot lock for from here",
                code="lock.platform",
                hint="lock on such a machine, or for one of "
                + ", ".join(f"`--platform {known}`" for known in PLATFORMS),
            )
        words += ["--python-platform", PLATFORMS[request.platform]]
    if request.python_version is not None:
        words += ["--python-version", request.python_version]
    return [*words, "--only-binary", ":all:"] if words else []
