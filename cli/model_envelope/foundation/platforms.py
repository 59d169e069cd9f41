"""The platforms that a lock can be for, named as those of container images are: ``linux/arm64``."""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass

from model_envelope.foundation.errors import InvalidInput

_SYSTEMS = {"darwin": "macos", "macosx": "macos", "osx": "macos", "win": "windows"}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "x64": "amd64", "64": "amd64"}
_UNIVERSAL = "universal2"


@dataclass(frozen=True, order=True)
class Platform:
    """An operating system and a kind of processor: ``linux`` and ``arm64``."""

    system: str
    machine: str

    @classmethod
    def of(cls, tag: str) -> Platform:
        """Give the platform that Python itself calls ``linux-x86_64`` or ``macosx-14.0-arm64``; any name will do."""
        system, _, rest = tag.replace("/", "-").partition("-")
        machine = rest.rpartition("-")[2] or "unknown"
        return cls(_SYSTEMS.get(system, system), _MACHINES.get(machine, machine))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read what a user wrote: ``linux/arm64``, also ``linux/aarch64``, ``linux-aarch64`` or conda's ``linux-64``.

        Raises :class:`InvalidInput` (``lock.platform``) for a platform that no lock can be made for.
        """
        found = cls.of(re.sub(r"\s", "", text).lower())
        if found not in KNOWN:
            raise InvalidInput(
                f"`{text}` is no platform that can be locked for",
                code="lock.platform",
                hint="one of " + ", ".join(f"`{known}`" for known in KNOWN),
            )
        return found

    @classmethod
    def here(cls) -> Platform:
        """Give the platform of this process."""
        return cls.of(sysconfig.get_platform())

    @property
    def tag(self) -> str:
        """What Python calls it, as an envelope notes it: ``linux-aarch64``."""
        machine = {"amd64": "x86_64", "arm64": "arm64" if self.system == "macos" else "aarch64"}
        name = {"macos": "macosx-11.0"}.get(self.system, self.system)
        return f"{name}-{machine.get(self.machine, self.machine)}"

    @property
    def marker(self) -> str:
        """The environment marker (PEP 508) that holds on this platform alone."""
        system = {"macos": "darwin", "windows": "win32"}.get(self.system, self.system)
        if self.machine == _UNIVERSAL:
            return f'sys_platform == "{system}"'
        return f'sys_platform == "{system}" and platform_machine == "{self.tag.rpartition("-")[2]}"'

    def runs(self, other: Platform) -> bool:
        """Whether what is made for another platform runs on this one."""
        return self.system == other.system and (
            self.machine == other.machine or _UNIVERSAL in (self.machine, other.machine)
        )

    def __str__(self) -> str:
        return f"{self.system}/{self.machine}"


KNOWN = (
    Platform("linux", "amd64"),
    Platform("linux", "arm64"),
    Platform("macos", "arm64"),
    Platform("macos", "amd64"),
)
"""What `--platform` can name."""
