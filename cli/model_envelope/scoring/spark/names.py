"""Gives the user and the host of a container names: Spark does not start without.

Containers run as any user id, which stands in no `/etc/passwd`, where Hadoop's login looks, and nothing of the image
can be written. Debian's libnss-wrapper reads users from another file, in each program that is started from here on.
Where the network is cut, the host's own name means nothing either.

``python -m model_envelope.scoring.spark.names PROGRAM ARGUMENT...`` runs a program so: ``spark-submit``, or the worker
of a cluster (``spark-class org.apache.spark.deploy.worker.Worker spark://HOST:7077``).
"""

from __future__ import annotations

import os
import pwd
import socket
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

WRAPPER = "libnss_wrapper.so"
NAME = "spark"


def give_names(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let programs that are started with these variables know the user and the host, as far as there is need for it."""
    name_user(environ)
    name_host(environ)


def name_host(environ: MutableMapping[str, str], host: str = "") -> None:
    """Let Spark take the loopback where the name of this host leads nowhere, and nothing else is said."""
    try:
        socket.getaddrinfo(host or socket.gethostname(), None)
    except OSError:
        environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")


def name_user(environ: MutableMapping[str, str], *, user: int | None = None) -> bool:
    """Give the user a name in programs that are started with these variables; whether there was need for it."""
    user = os.getuid() if user is None else user
    try:
        pwd.getpwuid(user)
    except KeyError:
        pass
    else:
        return False
    home = environ.get("HOME") or tempfile.gettempdir()
    folder = Path(tempfile.gettempdir(), f"model-envelope-user-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    _write(folder / "passwd", f"{NAME}:x:{user}:{os.getgid()}:{NAME}:{home}:/bin/sh\n", "/etc/passwd")
    _write(folder / "group", "", "/etc/group")
    loaded = environ.get("LD_PRELOAD", "").split()
    environ["LD_PRELOAD"] = " ".join([*(name for name in loaded if name != WRAPPER), WRAPPER])
    environ["NSS_WRAPPER_PASSWD"] = str(folder / "passwd")
    environ["NSS_WRAPPER_GROUP"] = str(folder / "group")
    return True


def _write(path: Path, more: str, base: str) -> None:
    """Write a file beside its place first: another process may read it at this moment."""
    known = Path(base).read_text("utf-8") if Path(base).is_file() else ""
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    staged.write_text(known + more, "utf-8")
    staged.replace(path)


def main() -> None:
    """Run a program as a user that has a name; see the module."""
    if not sys.argv[1:]:
        sys.stderr.write("usage: python -m model_envelope.scoring.spark.names PROGRAM ARGUMENT...\n")
        sys.exit(2)
    give_names()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  what was asked for


if __name__ == "__main__":
    main()
