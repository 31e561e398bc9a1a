# SPDX-License-Identifier: Apache-2.0
"""Run a real Alertmanager on a free loopback port, and the inbox that receives its messages.

Input: a configuration. Output: the states of alerts, and the sent messages. Only loopback addresses are used.
"""

import http.client
import json
import shutil
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.processes import Process, free_port
from tests.support.waiting import eventually

NAMES = ("prometheus-alertmanager", "alertmanager")
"""The program's name in Debian, and its usual name."""


class Message(NamedTuple):
    """One request to the inbox: its path, and its body as JSON or as the form's fields."""

    path: str
    body: dict[str, Any]


class Inbox:
    """Accepts every POST as a message and keeps the order of arrival."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._lock = threading.Lock()
        self._messages: list[Message] = []

    def put(self, message: Message) -> None:
        """Add a message."""
        with self._lock:
            self._messages.append(message)

    def messages(self, path: str = "") -> list[Message]:
        """Return the messages so far, optionally of one path."""
        with self._lock:
            return [message for message in self._messages if not path or message.path == path]


@contextmanager
def listening_inbox() -> Iterator[Inbox]:
    """Listen on a free port until the with block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_json = "json" in self.headers["Content-Type"]
            body = json.loads(text) if is_json else dict(urllib.parse.parse_qsl(text))
            inbox.put(Message(self.path, body))
            answer = b'{"ok": true, "result": {"message_id": 1, "date": 1, "chat": {"id": 1}}}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Suppress the log of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox = Inbox(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield inbox
        finally:
            server.shutdown()
            thread.join()


class AlertmanagerServer:
    """One Alertmanager, started and ready. ``config`` is its whole configuration, ``path`` another program."""

    def __init__(self, folder: Path, config: Path, path: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        command = [path or program(), f"--config.file={config}", f"--storage.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=warn"]
        self.process = Process(command, folder / "alertmanager.log")
        with self.process.starting():
            eventually(lambda: self.process.exit_code is not None or self._is_ready())
            assert self.process.exit_code is None, self.process.tail()

    def states(self) -> dict[str, set[str]]:
        """Return the states of its alerts (active or suppressed) by alert name."""
        states: dict[str, set[str]] = {}
        for alert in json.loads(self._ask("GET", "/api/v2/alerts")[1]):
            states.setdefault(alert["labels"]["alertname"], set()).add(alert["status"]["state"])
        return states

    def suppressed(self) -> list[tuple[str, str]]:
        """Return the inhibited alerts: the name and the application of each, in order."""
        alerts = json.loads(self._ask("GET", "/api/v2/alerts")[1])
        found = [alert["labels"] for alert in alerts if alert["status"]["state"] == "suppressed"]
        return sorted((labels["alertname"], labels.get("application", "")) for labels in found)

    def send(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Send alerts, as Prometheus does."""
        status, text = self._ask("POST", "/api/v2/alerts", json.dumps(list(alerts)))
        assert status == 200, text

    def stop(self) -> None:
        """Stop the server."""
        self.process.end()

    def _is_ready(self) -> bool:
        try:
            return self._ask("GET", "/-/ready")[0] == 200
        except ConnectionRefusedError:
            return False

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()


def program() -> str:
    """Return the path of the program, which has either name."""
    return next((name for name in NAMES if shutil.which(name)), NAMES[0])
