"""Drives Chromium over its DevTools protocol, through two pipes: no library is needed, and no port.

No name leads anywhere: the browser reaches what listens on 127.0.0.1, and nothing else.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60.0


class Page:
    """One tab: what it is told, and what happened in it."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._rest = b""
        self._last = 0
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        attached = self.tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command, and wait for what comes of it. Events that come meanwhile are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters, **self._session}
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") != self._last:
                self.events.append(said)
            elif "error" in said:
                raise AssertionError(f"{method}: {said['error']}")
            else:
                return said["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._reads, 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> str:
        """Go to an address; give why that failed, empty if it did not."""
        return self.tell("Page.navigate", url=url).get("errorText", "")

    def evaluate(self, expression: str) -> Any:
        """Compute something in the page."""
        result = self.tell("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Wait until something is true in the page."""
        until = time.monotonic() + PATIENCE
        while not (found := self.evaluate(expression)):
            assert time.monotonic() < until, (
                f"never came true: {expression}\n{self.evaluate('document.body.innerText')}"
            )
            time.sleep(0.05)
        return found

    def click(self, selector: str, text: str = "") -> None:
        """Click with the mouse on the middle of an element, as soon as it is there; of several on that with a text."""
        found = f"[...document.querySelectorAll({selector!r})].find(item => item.innerText.trim().startsWith({text!r}))"
        self.wait_for(f"!!{found}")
        # An element that is still being moved is somewhere else in a moment.
        box = self.evaluate(f"{found}.scrollIntoView({{block: 'center'}}), {self._box(found)}")
        while (now := self.evaluate(self._box(found))) != box:
            box = now
            time.sleep(0.05)
        for kind in ("mousePressed", "mouseReleased"):
            self.tell("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    @staticmethod
    def _box(found: str) -> str:
        return f"(b => [b.x + b.width / 2, b.y + b.height / 2])({found}.getBoundingClientRect())"

    def screenshot(self, into: Path, width: int = 1280) -> None:
        """Write a picture of the whole page, and look at it in this width from now on."""
        height = self.evaluate("document.documentElement.scrollHeight")
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        picture = self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        into.write_bytes(base64.b64decode(picture["data"]))

    def requested(self) -> list[str]:
        """List the addresses that the page asked for, beside those of data that it carries itself."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def complaints(self) -> list[str]:
        """List what the browser's console has to say: errors of scripts, what a policy blocked, what was not found."""
        kinds = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Start a browser without a network, with a profile in a folder; skip the test where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("ENVELOPE_REQUIRE_ENGINE") == "1":  # what runs all tests has a browser too
            pytest.fail("this machine must have Chromium", pytrace=False)
        pytest.skip("no Chromium is installed")
    commands, answers = os.pipe(), os.pipe()
    # The browser reads commands from descriptor 3 and writes to 4.
    shell = f'exec "$0" "$@" 3<&{commands[0]} 4>&{answers[1]}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *FLAGS, OFFLINE, f"--user-data-dir={folder}", "about:blank"],
        pass_fds=(commands[0], answers[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(commands[0])
    os.close(answers[1])
    try:
        yield Page(answers[0], commands[1])
    finally:
        os.close(commands[1])
        os.close(answers[0])
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
