"""A process that left the network: nothing outside answers, loopback does, and where it cannot leave that is said."""

import json
import os
import subprocess
import sys

import pytest

PRELUDE = """
import json, os, socket
from model_envelope.runtime import isolation
from model_envelope.runtime.isolation import leave_network
"""


def run(code, **options):
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ASK = """
reason = leave_network()
devices = sorted(name for _, name in socket.if_nameindex())
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    pass
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
    out = "connected"
except OSError as error:
    out = error.strerror
print(json.dumps([reason, devices, out, os.getuid(), os.getgid()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_only_loopback_is_left():
    reason, devices, out, user, group = run(ASK)
    if reason:
        pytest.skip(f"this machine lets no process leave the network: {reason}")
    assert devices == ["lo"]
    assert out == "Network is unreachable"
    assert (user, group) == (os.getuid(), os.getgid())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_user_without_rights_leaves_it_too(tmp_path):
    # The standard library may lie where only root looks.
    prepare = "import ctypes, fcntl; socket.getaddrinfo('127.0.0.1', 80); os.setgid(65534); os.setuid(65534)\n"
    # Who became somebody else may not write below /proc/self any more, until this is said (`prctl(2)`).
    code = prepare + "ctypes.CDLL(None).prctl(4, 1)\n" + ASK
    reason, devices, out, user, group = run(code)
    if reason:
        pytest.skip(f"this machine lets no user leave the network: {reason}")
    assert devices == ["lo"]
    assert out == "Network is unreachable"
    assert (user, group) == (65534, 65534)


def test_where_it_is_forbidden_nothing_changes_and_the_reason_is_given():
    code = """
def refused(flags):
    raise PermissionError(1, "Operation not permitted")

isolation._unshare = refused
before = sorted(socket.if_nameindex())
reason = leave_network()
print(json.dumps([reason, before == sorted(socket.if_nameindex())]))
"""
    reason, same = run(code)
    assert "Operation not permitted" in reason
    assert same


def test_another_system_says_that_it_has_no_such_thing():
    reason = run("isolation.sys.platform = 'darwin'; print(json.dumps(leave_network()))")
    assert reason == "darwin has no network namespaces"
