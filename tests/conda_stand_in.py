"""Stands in for micromamba and conda where there is none: solves and installs with py-rattler, which comes from PyPI.

It takes what this project and conda-lock start conda with: `create --dry-run --json` with channels and specs, `create
--prefix P --file F` for a lock or a list of addresses, `info --json` and `--version`.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import re
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import rattler


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", nargs="?")
    parser.add_argument("--version", action="version", version="9.9.9")
    parser.add_argument("--prefix")
    parser.add_argument("--file")
    parser.add_argument("--channel", action="append", default=[])
    for switch in ("--json", "--dry-run", "--yes", "--quiet", "--override-channels"):
        parser.add_argument(switch, action="store_true")
    parser.add_argument("specs", nargs="*")
    asked = parser.parse_intermixed_args()
    if asked.verb == "info":
        print(json.dumps({"pkgs_dirs": [], "platform": platform_here()}))
        return 0
    try:
        if asked.file:
            asyncio.run(install(packages_of(Path(asked.file).read_text()), asked.prefix))
        else:
            records = asyncio.run(solve(asked.channel, asked.specs))
            if asked.dry_run:
                actions = [action(record) for record in records]
                print(json.dumps({"success": True, "actions": {"FETCH": actions, "LINK": actions}}))
            else:
                asyncio.run(install(records, asked.prefix))
    except Exception as error:  # noqa: BLE001  whatever it is, conda says it in its answer
        if not asked.json:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        else:
            print(json.dumps({"success": False, "message": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


async def solve(channels: list[str], specs: list[str]) -> list[rattler.RepoDataRecord]:
    platform = platform_here()
    with TemporaryDirectory() as cache:
        gateway = rattler.Gateway(cache_dir=cache)
        return await rattler.solve(
            [rattler.Channel(channel) for channel in channels],
            # As conda reads `name 1.0`: that version exactly.
            [re.sub(r"^(\S+) (?=\d)", r"\1 ==", spec) for spec in specs],
            gateway=gateway,
            platforms=[platform, "noarch"],
            virtual_packages=[],
        )


def platform_here() -> str:
    names = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
    return os.environ.get("CONDA_SUBDIR") or names[os.uname().machine]


def action(record: rattler.RepoDataRecord) -> dict[str, object]:
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "channel": record.channel,
        "url": record.url,
        "fn": record.file_name,
        "md5": record.md5.hex() if record.md5 else "",
        "sha256": record.sha256.hex() if record.sha256 else "",
        "depends": list(record.depends),
        "subdir": record.subdir,
    }


def packages_of(text: str) -> list[rattler.RepoDataRecord]:
    """Read a lock of conda-lock, for this platform, or a list of addresses with their hashes."""
    platform = platform_here()
    if "@EXPLICIT" in text:
        lines = [line for line in text.splitlines() if "://" in line]
        return [record_of(url, "", digest) for url, _, digest in (line.partition("#") for line in lines)]
    import yaml

    packages = [item for item in yaml.safe_load(text)["package"] if item["platform"] == platform]
    return [record_of(item["url"], item["hash"].get("sha256", ""), item["hash"].get("md5", "")) for item in packages]


def record_of(url: str, sha256: str, md5: str) -> rattler.RepoDataRecord:
    import tarfile

    with TemporaryDirectory() as scratch:
        path = Path(scratch) / re.sub(r".*/", "", url)
        content = fetch(url)
        for name, wanted in (("sha256", sha256), ("md5", md5)):
            if wanted and hashlib.new(name, content).hexdigest() != wanted:
                raise ValueError(f"{name} mismatch for {url}: the file is another than {wanted}")
        path.write_bytes(content)
        with tarfile.open(path) as archive:
            (Path(scratch) / "index.json").write_bytes(archive.extractfile("info/index.json").read())
        package = rattler.PackageRecord.from_index_json(Path(scratch) / "index.json")
    package.sha256 = bytes.fromhex(sha256) or None
    package.md5 = bytes.fromhex(md5) or None
    return rattler.RepoDataRecord(package, path.name, url, url.rsplit("/", 2)[0])


def fetch(url: str) -> bytes:
    """Fetch a file, with the user and password that the address may have."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl())
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(unquote(user).encode()).decode()}")
    with urllib.request.urlopen(request) as answer:
        return answer.read()


async def install(records: list[rattler.RepoDataRecord], prefix: str) -> None:
    with TemporaryDirectory() as cache:
        await rattler.install(records, target_prefix=prefix, cache_dir=cache, show_progress=False)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The threads of py-rattler may still run, and end the interpreter by a signal on its way out.
    os._exit(code)
