"""Known vulnerabilities, asked with pip-audit (https://pypi.org/project/pip-audit/), which asks the public services.

pip-audit ends with 0 where a service did not answer about a package, as if there were nothing to say. So what counts
here is which packages it says that it looked up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from model_envelope.dependencies.advisories import Vulnerability
from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import has_module
from model_envelope.foundation import process
from model_envelope.foundation.files import scratch_folder

NAME = "pip-audit"
TIMEOUT = 600.0


@dataclass(frozen=True)
class Asked:
    """What came of asking: the vulnerabilities, and for each package that nobody answered about, why."""

    found: tuple[Vulnerability, ...]
    not_asked: Mapping[str, str]


def ask_pip_audit(versions: Mapping[str, str]) -> Asked:
    """Ask about the versions of distributions, by canonical name. Never raises for what a service does not answer."""
    if not versions:
        return Asked((), {})
    if not has_module("pip_audit"):
        return _nobody(versions, "pip-audit is not installed: `pip install 'model-envelope[audit]'`")
    settings = IndexSettings.from_environment()
    with scratch_folder(prefix="envelope-audit-") as folder:
        # Builds of a version (`2.13.0+cpu`) are no versions of their own to those who collect vulnerabilities.
        lines = (f"{name}=={version.partition('+')[0]}\n" for name, version in sorted(versions.items()))
        (folder / "requirements.txt").write_text("".join(lines), encoding="utf-8")
        options = "--no-deps --disable-pip --format json --progress-spinner off --requirement requirements.txt"
        finished = process.run(
            [sys.executable, "-m", "pip_audit", *options.split()],
            cwd=folder,
            env=process.environment({**settings.pip_environment(), **_way_out(settings)}),
            timeout=TIMEOUT,
        )
    if finished.timed_out:
        return _nobody(versions, f"no answer within {TIMEOUT:.0f} seconds")
    try:
        listed = json.loads(finished.stdout)["dependencies"]
        return _read(listed, versions)
    except (ValueError, KeyError, TypeError):
        said = finished.tail(1) or f"it ended with {finished.returncode}"
        return _nobody(versions, settings.redact(said)[:200])


def _way_out(settings: IndexSettings) -> dict[str, str]:
    """Give the variables of requests for what pip is told of the way out: that is not pip, and asks by itself."""
    proxy = {"HTTPS_PROXY": settings.proxy, "HTTP_PROXY": settings.proxy}
    certificates = {"REQUESTS_CA_BUNDLE": str(settings.ca_bundle) if settings.ca_bundle else None}
    return {name: value for name, value in {**proxy, **certificates}.items() if value}


def _read(listed: list[dict[str, Any]], versions: Mapping[str, str]) -> Asked:
    found: list[Vulnerability] = []
    not_asked = dict.fromkeys(versions, "it does not mention it")
    for item in listed:
        name = canonicalize_name(item["name"])
        if name not in versions:
            continue
        if "skip_reason" in item:
            not_asked[name] = str(item["skip_reason"])
            continue
        not_asked.pop(name, None)
        for each in item["vulns"]:
            lines = str(each.get("description") or "").strip().splitlines()
            found.append(
                Vulnerability(
                    package=name,
                    version=versions[name],
                    id=str(each["id"]),
                    aliases=tuple(sorted(map(str, each.get("aliases") or ()))),
                    summary=lines[0][:200] if lines else "",
                    fixed_in=tuple(map(str, each.get("fix_versions") or ())),
                    source=NAME,
                )
            )
    return Asked(tuple(found), not_asked)


def _nobody(versions: Mapping[str, str], why: str) -> Asked:
    return Asked((), dict.fromkeys(versions, why))
