"""The console script `envelope`, and ``python -m model_envelope``.

What is asked most often (`--version`, `--help`) is answered before anything of weight is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["--version"]:
        from model_envelope import __version__

        sys.stdout.write(f"envelope {__version__}\n")
        return 0
    if words == ["--help"]:
        from model_envelope.commands.verbs import root_help

        sys.stdout.write(root_help(sys.stdout))
        return 0
    from model_envelope.commands.application import run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
