"""How the child processes of the probe and of trials start: ``python -m MODULE REQUEST RESULT``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from model_envelope.inference.memory import limit_memory
from model_envelope.runtime.replay import claim_stdout


def start(description: str) -> tuple[dict[str, Any], Path]:
    """Read the request, keep stdout clear, limit the memory and look for local modules where it says.

    Gives the request and the file that the result belongs in; both files hold one JSON document.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("request", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    request = json.loads(arguments.request.read_bytes())
    claim_stdout()
    limit_memory(request["memory"])
    for folder in reversed(request["search"]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return request, arguments.result
