"""``python3 -m model_envelope.assembling packages|code|system``: called by the Dockerfiles of targets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model_envelope.assembling import compiling, normalising, system
from model_envelope.assembling.packages import CannotInstall, assemble


def main() -> int:
    """Make one layer; ends with 1 and a line that begins with ``envelope: error:`` where that cannot be done."""
    parser = argparse.ArgumentParser(prog="assembling", description="Make a layer of an image.")
    layers = parser.add_subparsers(dest="layer", required=True)
    packages = layers.add_parser("packages", help="install what a lock names")
    packages.add_argument("lock", type=Path)
    packages.add_argument("--into", type=Path, required=True)
    packages.add_argument("--python", required=True, metavar="X.Y")
    packages.add_argument("--find-links", type=Path)
    packages.add_argument("--wheelhouse", type=Path)
    packages.add_argument("--published", action="append", default=[], metavar="URL")
    code = layers.add_parser("code", help="compile Python files that were copied into a folder")
    code.add_argument("folder", type=Path)
    libraries = layers.add_parser("system", help="install libraries and programs that the base image lacks")
    libraries.add_argument("libraries", nargs="*", metavar="SONAME=PACKAGE")
    libraries.add_argument("--program", action="append", default=[], metavar="PROGRAM=PACKAGE")
    libraries.add_argument("--into", type=Path, required=True)
    given = parser.parse_args()
    try:
        if given.layer == "packages":
            assemble(
                given.lock,
                given.into,
                python=given.python,
                find_links=given.find_links,
                wheelhouse=given.wheelhouse,
                published=given.published,
            )
        elif given.layer == "system":
            sonames, programs = (
                dict(text.split("=", 1) for text in texts) for texts in (given.libraries, given.program)
            )
            system.install(sonames, given.into, programs=programs)
        else:
            compiling.compile_all(given.folder)
            normalising.set_modes(given.folder)
            normalising.set_times(given.folder)
    except CannotInstall as error:
        sys.stderr.write(f"envelope: error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
