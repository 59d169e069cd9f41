"""What stands between an installer and its packages: an index, a network, a proxy; and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How an index answered."""

    LISTED = "listed"
    MISSING = "missing"
    FORBIDDEN = "forbidden"
    PROXY = "proxy"
    BROKEN = "broken"
    SLOW = "slow"
    DOWN = "down"


@dataclass(frozen=True)
class Trouble:
    """Something on the way to the packages: what resolvers say of it, what it means, and what to do."""

    pattern: str
    state: State | None
    kind: str
    text: str
    hint: str

    @property
    def passes(self) -> bool:
        """Whether nobody here can do much about it but wait, or go on without an index."""
        return self.state in {State.SLOW, State.BROKEN, State.DOWN}


TROUBLES = (
    Trouble(
        r"hash(?:es)? mismatch|do not match the hashes|mismatched hash",
        None,
        "hash-mismatch",
        "the index gave a file that does not have the hash that it lists",
        "a download that was cut short, a cache or a proxy that changes files, or a file that was tampered with: empty "
        "the cache (`pip cache purge`, `uv cache clean`), try another index, and report it to whoever runs this one",
    ),
    Trouble(
        r"407 proxy|proxy authentication required|tunnel connection failed: 407|proxy authorization required",
        State.PROXY,
        "proxy-password",
        "the proxy before the package index asks for a password",
        "name the proxy with user and password: `pip config set global.proxy http://USER:PASSWORD@HOST:PORT`, or "
        "HTTPS_PROXY",
    ),
    Trouble(
        r"40[13] client error|401 error, credentials|\(40[13] [a-z]|\b401 unauthorized|\b403 forbidden|user for \S+:",
        State.FORBIDDEN,
        "index-forbidden",
        "the package index wants other credentials",
        "put user and password, or a token, into the index's address (`pip config set global.index-url "
        "https://USER:PASSWORD@HOST/simple`) or into `.netrc`",
    ),
    Trouble(
        r"end of file before message|incompleteread|error decoding response body|body from connection"
        r"|connection closed before message completed|unexpected eof|bad zip|badzipfile|file is not a zip|invalid zip"
        r"|unable to locate the end of central directory|end-of-central-directory|failed to read from zip file"
        r"|incomplete-download|connection interrupted while downloading",
        None,
        "index-broken-off",
        "the package index ended its answer half way, or has a damaged file",
        "try again: what was fetched whole is cached; where it happens again, ask whoever runs the index or the proxy",
    ),
    Trouble(
        r"certificate[_ ]verify[_ ]failed|invalid peer certificate|self[- ]signed certificate",
        None,
        "index-certificate",
        "the certificate of the package index is signed by nobody who is trusted",
        "name a file with the certificate of your authority: `pip config set global.cert FILE`, or SSL_CERT_FILE",
    ),
    Trouble(
        r"timed out",
        State.SLOW,
        "index-slow",
        "the package index did not answer in time",
        "try again, or give it longer (`pip config set global.timeout 120`)",
    ),
    Trouble(
        r"50\d server error|server error \(50\d|too many 50\d error|50\d error responses",
        State.BROKEN,
        "index-broken",
        "the package index answers with an error of its own",
        "try again later, or ask whoever runs the index",
    ),
    Trouble(
        r"retrying \(retry|max retries exceeded|connection (?:refused|reset|aborted)|name or service not known"
        r"|dns error|error sending request|failed to connect|could not connect|tcp connect error"
        r"|network connectivity is disabled",
        State.DOWN,
        "index-unreachable",
        "the package index cannot be reached",
        "check the network and pip's settings (`pip config list`)",
    ),
)


def trouble_in(said: str) -> Trouble | None:
    """Give what a resolver or an installer met on its way, by its own words; None where they tell of none."""
    words = " ".join(said.split())
    return next((each for each in TROUBLES if re.search(each.pattern, words, re.IGNORECASE)), None)
