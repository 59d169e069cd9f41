"""The service as a process of its own, as images and `envelope serve` run it."""

import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def started(envelope, *options):
    command = [sys.executable, "-m", "model_envelope.serving", str(envelope), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
