# SPDX-License-Identifier: Apache-2.0
"""Drive a headless Chromium with its own protocol through pipes, without a library or a port.

Input: addresses and JavaScript. Output: values from the page and pictures of it. Only loopback addresses are used.
"""

import json
import os
import select
import shutil
import signal
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import eventually

ANSWER_SECONDS = 20.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-extensions", "--disable-background-networking", "--disable-sync", "--no-first-run", "--mute-audio",
    "--disable-component-update", "--no-default-browser-check", "--remote-debugging-pipe",
)  # fmt: skip
REQUESTS = """
window.__failed = [];
const fail = (what) => window.__failed.push(String(what));
addEventListener("securitypolicyviolation", (event) => fail(`${event.violatedDirective} ${event.blockedURI}`));
addEventListener("error", (event) => fail(event.message));
"""


def find_chromium() -> str | None:
    """Return the path of the program, or None if it is not installed."""
    return shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


class Browser:
    """One browser with one page. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        program = find_chromium()
        assert program is not None
        commands, self._commands = os.pipe()
        self._replies, replies = os.pipe()
        self._log = (folder / "chromium.log").open("wb")

        def place() -> None:
            # The browser reads commands from descriptor 3 and replies on descriptor 4.
            os.dup2(commands, 103), os.dup2(replies, 104)
            os.dup2(103, 3), os.dup2(104, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder / 'chromium'}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            close_fds=False, start_new_session=True, preexec_fn=place,  # noqa: PLW1509 -- the child only moves descriptors
        )  # fmt: skip
        os.close(commands)
        os.close(replies)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.messages: list[str] = []
        """Messages in the page's console, and its uncaught errors."""

    def __enter__(self) -> Self:
        target = next(one for one in self._targets() if one["type"] == "page")
        attached = self._call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}, root=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", {"source": REQUESTS})
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        os.close(self._commands)
        os.close(self._replies)
        self._log.close()

    def resize(self, width: int, height: int, *, dark: bool = False, scripts: bool = True) -> None:
        """Set the window's size, the preferred colour scheme, and whether JavaScript may run."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", metrics)
        taste = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", {"features": [taste]})
        self._call("Emulation.setScriptExecutionDisabled", {"value": not scripts})

    def open(self, address: str) -> None:
        """Open a page and wait until it is loaded."""
        self._call("Page.navigate", {"url": address})
        eventually(lambda: self.say("document.readyState") == "complete" and self.say("location.href") == address)

    def say(self, expression: str) -> Any:  # noqa: ANN401 -- any value of an expression
        """Evaluate an expression in the page, wait for its promise, and return the result."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        result = self._call("Runtime.evaluate", given)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def type(self, text: str) -> None:
        """Type into the focused element."""
        self._call("Input.insertText", {"text": text})

    def picture(self, file: Path) -> None:
        """Take a picture of the whole page."""
        shot = self._call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        file.write_bytes(b64decode(shot["data"]))

    def refused(self) -> list[str]:
        """Return what the page was not allowed to do, or failed to do."""
        return [*self.messages, *self.say("window.__failed || []")]

    def _targets(self) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = self._call("Target.getTargets", root=True)["targetInfos"]
        return targets

    def _call(self, method: str, given: dict[str, Any] | None = None, *, root: bool = False) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": given or {}}
        if not root:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read()
            if reply.get("id") == self._number:
                assert "error" not in reply, (method, reply["error"])
                result: dict[str, Any] = reply["result"]
                return result
            self._note(reply)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.messages.append(event["params"]["exceptionDetails"]["text"])
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.messages.append(event["params"]["entry"]["text"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._replies], [], [], ANSWER_SECONDS)
            assert ready, "the browser does not answer"
            piece = os.read(self._replies, 1 << 20)
            assert piece, "the browser ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found
