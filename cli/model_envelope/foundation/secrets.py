"""Takes credentials out of what is shown or kept: out of URLs, of tokens that show by their shape, of known values.

Everything that an envelope, its provenance or an error says about its surroundings goes through here. Rather too much
is taken out than too little: of a URL its host, its path and what is known to be harmless are left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote

MARK = "****"

# What stands before the host. A password may hold unescaped `@`; one that holds a slash shows by a port that is none.
_USER = re.compile(r"(?<=://)(?!git@)(?:[^/\s'\"<>]*|[^/\s@:'\"<>]+:(?!\d+(?:[/?#]|$))[^\s'\"<>]{0,2000})@")
_QUERY = re.compile(r"(?<=[?&;])(?P<name>[^=&;#\s'\"<>]+)=(?P<value>[^&;#\s'\"<>]*)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_HARMLESS = re.compile(
    r"(?i)branch|build_?id|build|channel|commit|definitionid|egg|id|job(?:_id)?|name|page|pipeline|project|ref|repository"
    r"|rev(?:ision)?|run(?:_id)?|sha(?:256)?|subdirectory|tab|tag|v(?:ersion)?|view|workspace"
)
# Where services put a token into the path: Anaconda's channels, Cloudsmith, Gemfury.
_PATHS = re.compile(
    r"(?P<before>://[^\s'\"<>]{0,2000}?/t/|://dl\.cloudsmith\.io/(?!public/|basic/)|://pypi\.fury\.io/(?=[^/\s]{15}))"
    r"[^/\s'\"<>]+"
)
_NAMED = re.compile(
    r"(?i)(?P<name>[?&#;](?:[\w.-]{0,100}(?:token|secret|passw|pwd|key|signature|credential|auth|session)[\w.-]{0,100}|sig))="
    r"(?P<value>[^&;#\s'\"<>]+)"
)
_SHAPES = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|gl[a-z]{2,5}t-[\w-]{16,}|pypi-[\w-]{40,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{20,}|xox[a-z]-[\w-]{10,}|npm_[A-Za-z0-9]{30,}|dapi[0-9a-f]{32}"
    r"|sk-(?:(?:proj|ant|svcacct)-[\w-]{20,}|[A-Za-z0-9]{32,})|AIza[\w-]{35}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\w+/=:,.\\\s-]*-----END [A-Z ]*PRIVATE KEY-----|[\w+/=\\\s]*)"
)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASS|PASSPHRASE|PWD|SECRETS?|TOKEN|PAT|AUTH|CREDENTIALS?|SAS|DSN|CONN(?:ECTION)?_STR(?:ING)?"
    r"|(?:PRIVATE|API|ACCESS|ACCOUNT|SECRET|SIGNING|ENCRYPTION)_?KEY)(?:_|\d|$)|(?:TOKEN|PASSW(?:OR)?D|PASS|SECRET)S?$"
)
_NO_SECRETS = frozenset(("PWD", "OLDPWD"))
_SHORTEST = 8
"""Characters of the value of a variable that is looked for: a shorter one stands in any text by chance."""


def scrub(text: str, secrets: Collection[str] = ()) -> str:
    """Take credentials out of a text: those of URLs in it, tokens of known shapes, and the ``secrets`` themselves."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MARK)
    text = _PRIVATE_KEY.sub(MARK, text)
    text = _USER.sub(f"{MARK}@", text)
    text = _PATHS.sub(lambda found: f"{found['before']}{MARK}", text)
    text = _URL.sub(lambda found: _QUERY.sub(_without_value, found[0]), text)
    text = _NAMED.sub(lambda found: f"{found['name']}={MARK}", text)
    return _SHAPES.sub(MARK, text)


def scrub_all(document: Any, secrets: Collection[str] = ()) -> Any:
    """Scrub every string in a JSON document, the names in it too."""
    if isinstance(document, str):
        return scrub(document, secrets)
    if isinstance(document, Mapping):
        return {scrub(str(name), secrets): scrub_all(value, secrets) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [scrub_all(item, secrets) for item in document]
    return document


def secret_values(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Give the values of the variables whose names say that they are secret, and the credentials in URLs of any."""
    variables = os.environ if environ is None else environ
    named = {
        value.strip()
        for name, value in variables.items()
        if name not in _NO_SECRETS and _SECRET_NAME.search(name.upper())
    }
    return frozenset(filter(_is_worth_hiding, named)).union(*map(credentials, variables.values()))


def credentials(text: str) -> set[str]:
    """Give the passwords, or where there is none the users, that stand before the hosts of the URLs in a text.

    Both as they stand there and as they are meant, without the escapes of URLs.
    """
    found: set[str] = set()
    for userinfo in _USER.findall(text):
        user, _, password = userinfo.removesuffix("@").partition(":")
        # A user name alone is a token; beside a password it is a word that may stand anywhere (`admin`).
        word = password or user
        found |= {word, unquote(word)}
    # A shorter one stands in any text by chance.
    return {secret for secret in found if len(secret) > 3}


def _is_worth_hiding(value: str) -> bool:
    """Leave out what only names a secret (a file), and what is none: numbers, switches."""
    names_a_file = value.startswith("/") and os.path.lexists(value)
    return len(value) >= _SHORTEST and not value.isdecimal() and not names_a_file


def _without_value(found: re.Match[str]) -> str:
    return found[0] if _HARMLESS.fullmatch(found["name"]) else f"{found['name']}={MARK}"
