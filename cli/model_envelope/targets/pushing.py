"""Pushes an image to its registry through the engine, and tells what the registry had already.

Credentials are those of the docker command: its config.json and the helpers that it names, read by the ``docker``
package. Nothing of them is shown.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from model_envelope.foundation.errors import ToolFailed
from model_envelope.foundation.files import human_size
from model_envelope.foundation.progress import Doing, Done, Note, Report, Started, silent
from model_envelope.foundation.secrets import scrub
from model_envelope.targets.engine import Engine, split_name
from model_envelope.targets.registry import HUB, names_registry, parts

SILENCE = 1800.0
"""Seconds that a registry may take for one layer without a word."""

_UNREACHABLE = (
    r"connection refused|no such host|i/o timeout|no route to host|network is unreachable|server misbehaving"
    r"|deadline exceeded|Client\.Timeout|TLS handshake timeout|connection timed out|proxyconnect"
)
_HELPER = r"Credentials store error"
_TLS = r"x509:|tls: |gave HTTP response to HTTPS client|malformed HTTP response"
_DENIED = r"denied|unauthorized|no basic auth credentials|authentication required|\b40[13]\b|forbidden|login attempt"
_UNKNOWN = r"name unknown|NAME_UNKNOWN|repository .{0,200}not (?:exist|found)|repository does not exist|name invalid"
_FULL = (
    r"quota|no space left|insufficient.storage|\b507\b|\b413\b|Request Entity Too Large|storage (?:limit|is full)"
    r"|disk full"
)
_BUSY = r"toomanyrequests|too many requests|\b429\b|rate limit"
_BROKEN = r"EOF|connection reset|broken pipe|\b50[0234]\b|server closed|blob upload (?:unknown|invalid)|use of closed"


@dataclass(frozen=True)
class PushedLayer:
    """A layer of a pushed image: what is in it, the beginning of its id, its bytes (unpacked), who had it.

    ``name`` is empty where nobody told what is in it, ``bytes`` None where it could not be found out.
    """

    name: str
    id: str
    bytes: int | None
    already_there: bool


@dataclass(frozen=True)
class Pushed:
    """An image in its registry: its name there, the reference that always means this image, and its layers.

    ``new_bytes`` were sent, ``bytes_already_there`` were in the registry before; both are of unpacked layers.
    """

    name: str
    reference: str
    digest: str
    registry: str
    layers: tuple[PushedLayer, ...]
    new_bytes: int
    bytes_already_there: int


def knock(engine: Engine, name: str, report: Report = silent) -> None:
    """Ask an image's registry whether it is there and takes our credentials, so that no build is made in vain.

    Whether it will take the image shows when it is pushed: registries differ in what they tell before.

    Raises :class:`ToolFailed` (``push.unreachable``, ``push.tls``, ``push.denied``, ``push.credentials``).
    """
    import docker

    host = parts(name)[0]
    if not names_registry(name):
        report(Note(f"`{name}` names no registry, so it will be pushed to Docker Hub ({HUB}); {_say_registry(name)}"))
    report(Started("registry", f"Asking {host}"))
    credentials = _credentials(name)
    try:
        if credentials:
            engine.client.login(*credentials, registry=None if host == HUB else host, reauth=True)
        else:
            engine.client.api.inspect_distribution(name)
    except (docker.errors.DockerException, OSError) as error:
        failure = push_failed(_said(error), name)
        # Without a password to try only these are sure: many registries answer 401 or 404 for what is yet to come.
        if credentials or failure.code in {"push.unreachable", "push.tls"} or "no basic auth" in failure.detail:
            raise failure from None
    report(Done("registry", f"{host} answers"))


def _credentials(name: str) -> tuple[str, str] | None:
    """Give the user and the password that the docker command has for an image's registry; None where it has none.

    None too for what is no password: a token that the registry gave out for later.

    Raises :class:`ToolFailed` (``push.credentials``) where the helper that keeps them fails or is not here.
    """
    import docker

    try:
        with warnings.catch_warnings(action="ignore"):
            known = docker.auth.load_config().resolve_authconfig(parts(name)[0]) or {}
    except (docker.errors.DockerException, OSError) as error:
        raise push_failed(_said(error), name) from None
    user, password = (known.get(key) or known.get(key.title()) for key in ("username", "password"))
    return (str(user), str(password)) if user and password else None


def push_image(
    engine: Engine, name: str, contents: Mapping[str, str] = MappingProxyType({}), report: Report = silent
) -> Pushed:
    """Push an image under its name, and give what it is in the registry.

    ``contents`` says by the digest of a layer what is in it.

    Raises :class:`ToolFailed`: ``push.unreachable``, ``push.tls``, ``push.denied``, ``push.no-repository``,
    ``push.full``, ``push.busy``, ``push.broken-off`` or ``push.failed``. The image then stays with the engine, and the
    registry has no such name: it learns of it last.
    """
    host = parts(name)[0]
    repository, tag = split_name(name)
    report(Started("push", f"Pushing {name}"))
    image = engine.client.images.get(name)
    seen: dict[str, _Seen] = {}
    digest = ""
    for event in _events(engine, repository, tag, name, seen):
        if "error" in event:
            raise push_failed(str(event["error"]), name, begun=any(layer.current for layer in seen.values()))
        digest = (event.get("aux") or {}).get("Digest", digest)
        if "id" in event and event["id"] != tag:
            _note(seen.setdefault(event["id"], _Seen()), event)
            report(Doing("push", _progress(name, seen)))
    if not digest:
        raise push_failed("the engine ended without a word of the image's digest", name)
    sizes = _sizes(image)
    layers = tuple(
        PushedLayer(contents.get(f"sha256:{found}", ""), found[:12], sizes.get(found, layer.total), layer.there)
        for found in _unique(image.attrs["RootFS"]["Layers"])
        if (layer := seen.get(found[:12]))
    )
    new = sum(layer.bytes or 0 for layer in layers if not layer.already_there)
    there = sum(layer.bytes or 0 for layer in layers if layer.already_there)
    sent = [layer.name or layer.id for layer in layers if not layer.already_there]
    what = ", ".join(dict.fromkeys(sent)) or "nothing"
    said = f"Pushed {what} ({human_size(new)}); {host} had {human_size(there)} of it already"
    report(Done("push", said))
    return Pushed(f"{repository}:{tag}", f"{repository}@{digest}", digest, host, layers, new, there)


@dataclass
class _Seen:
    """What the engine has told of a layer so far."""

    current: int = 0
    total: int | None = None
    there: bool = False
    waits: bool = False


def _note(layer: _Seen, event: Mapping[str, Any]) -> None:
    detail = event.get("progressDetail") or {}
    layer.current = detail.get("current", layer.current)
    layer.total = detail.get("total", layer.total)
    status = str(event.get("status", ""))
    layer.there = layer.there or status.startswith(("Layer already exists", "Mounted from"))
    layer.waits = status.startswith("Retrying")


def _progress(name: str, seen: Mapping[str, _Seen]) -> str:
    if any(layer.waits for layer in seen.values()):
        return f"Pushing {name}: {parts(name)[0]} does not take it, trying again"
    sent = sum(layer.current for layer in seen.values())
    return f"Pushing {name}: {human_size(sent)}" if sent else f"Pushing {name}"


def _events(
    engine: Engine, repository: str, tag: str, name: str, seen: Mapping[str, _Seen]
) -> Iterator[Mapping[str, Any]]:
    import docker
    from urllib3.exceptions import HTTPError

    api = engine.client.api
    before, api.timeout = api.timeout, SILENCE
    try:
        with closing(api.push(repository, tag=tag, stream=True, decode=True)) as events:
            yield from events
    except (docker.errors.DockerException, docker.errors.StreamParseError, HTTPError, OSError) as error:
        raise push_failed(_said(error), name, begun=bool(seen)) from None
    finally:
        api.timeout = before


def push_failed(said: str, name: str, *, begun: bool = False) -> ToolFailed:
    """Translate what an engine said of a registry; ``begun`` is whether the registry had taken something already."""
    host = parts(name)[0]
    detail = scrub(said.strip())[:1000]
    again = f"the image stays here as `{name}`, and what has arrived is not sent again: `docker push {name}`"
    reasons = (
        (
            _HELPER,
            "push.credentials",
            "the program that keeps docker's credentials fails",
            f"config.json in {os.environ.get('DOCKER_CONFIG', '~/.docker')} names it; `docker login {host}` tries it",
        ),
        (_TLS, "push.tls", f"the certificate of {host} is not trusted, or it speaks no TLS", _tls_hint(host)),
        (_BUSY, "push.busy", f"{host} takes no more for now", f"later; {again}"),
        (
            _FULL,
            "push.full",
            f"{host} has no room for the image",
            f"make room there, or have the quota raised; {again}",
        ),
        (
            _UNREACHABLE,
            "push.broken-off" if begun else "push.unreachable",
            f"{host} went away half way" if begun else f"{host} cannot be reached",
            again if begun else f"is the name right, and does the engine reach it? {_say_registry(name)}",
        ),
        (_UNKNOWN, "push.no-repository", f"{host} has no such repository", f"create it there first; {again}"),
        (
            _DENIED,
            "push.denied",
            f"{host} does not let us push to it",
            f"`docker login {host}` with a user who may push there"
            + ("" if names_registry(name) else f"; {_say_registry(name)}"),
        ),
        (_BROKEN, "push.broken-off", f"{host} broke off half way", again),
    )
    for pattern, code, why, hint in reasons:
        if re.search(pattern, said, flags=re.IGNORECASE):
            return ToolFailed(f"`{name}` cannot be pushed: {why}", code=code, detail=detail, hint=hint)
    return ToolFailed(f"`{name}` cannot be pushed", code="push.failed", detail=detail, hint=again)


def _tls_hint(host: str) -> str:
    return (
        f"put the certificate of its authority where the engine looks (/etc/docker/certs.d/{host}/ca.crt); one without "
        "TLS must stand in the engine's `insecure-registries`"
    )


def _say_registry(name: str) -> str:
    return f"the registry stands first in a name: `--image registry.example.com/{name.rpartition('/')[2]}`"


def _said(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)


def _unique(layers: list[str]) -> list[str]:
    """Give each layer once, without the name of the hash."""
    return list(dict.fromkeys(layer.partition(":")[2] for layer in layers))


def _sizes(image: Any) -> dict[str, int]:
    """Give the size of each layer by its id, as the history tells it; nothing where the two cannot be matched.

    An instruction that changed no file is part of the history and has no layer, but an empty folder is a layer of 0
    bytes.
    """
    ids = [layer.partition(":")[2] for layer in image.attrs["RootFS"]["Layers"]]
    history = [(int(entry["Size"]), str(entry["CreatedBy"])) for entry in reversed(image.history())]
    sized = [size for size, _ in history if size]
    written = [size for size, by in history if size or re.match(r"(?:RUN|COPY|ADD|WORKDIR)\b", by)]
    sizes = next((found for found in (sized, written) if len(found) == len(ids)), [])
    return dict(zip(ids, sizes, strict=False))
