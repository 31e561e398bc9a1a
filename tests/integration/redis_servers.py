# SPDX-License-Identifier: Apache-2.0
"""Run real Redis servers on free loopback ports, each with a dedicated folder and without saving data.

Input: options of redis-server. Output: URLs and clients. Only servers that were started here are changed.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from tests.integration.processes import Process, free_port, system_program
from tests.support.waiting import eventually

PROGRAM = os.environ.get("TEST_REDIS_SERVER") or system_program("redis-server")
"""The server that every test uses as Redis. ``tests/run.sh --redis NAME`` sets the variable."""
SUBSCRIBER = "celery-redis-exporter-events"
"""The name of an exporter's connection that receives events."""


class RedisServer:
    """One server, started. ``stop`` and ``start`` keep the port and lose the data."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        unix: bool = False,
        options: Sequence[str] = (),
        program: str = PROGRAM,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = password
        self.socket = folder / "redis.sock" if unix else None
        self._program = program
        self._options = list(options)
        self.bus_port = free_port() if "--cluster-enabled" in options else 0
        if self.bus_port:  # the default is the port plus ten thousand, which may not be a valid port
            self._options += ["--cluster-port", str(self.bus_port)]
        self._process: Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def process(self) -> Process:
        """Return the running process."""
        assert self._process is not None, "the server is stopped"
        return self._process

    def url(self, db: int = 0, user: str = "", password: str | None = None) -> str:
        """Return the server's URL for a database and, optionally, a user."""
        password = self.password if password is None else password
        identity = f"{user}:{password}@" if user or password else ""
        if self.socket is not None:
            return f"unix://{identity}{self.socket}?db={db}"
        return f"redis://{identity}127.0.0.1:{self.port}/{db}"

    @contextlib.contextmanager
    def client(self, db: int = 0) -> Iterator[Any]:
        """Yield a redis-py client until the with block ends."""
        password = self.password or None
        with contextlib.closing(redis.Redis(port=self.port, db=db, password=password, protocol=2)) as client:
            yield client

    def command(self, *words: object, db: int = 0) -> Any:  # noqa: ANN401 -- a reply can be anything
        """Send one command. Return its reply."""
        with self.client(db) as client:
            return client.execute_command(*words)

    def is_heard(self) -> bool:
        """Return whether an exporter has subscribed to events on this server."""
        with self.client() as client:
            return SUBSCRIBER in {other["name"] for other in client.client_list(_type="pubsub")}

    def start(self) -> None:
        """Start the server on its port, and wait until it replies."""
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        command += ["--requirepass", self.password] if self.password else []
        command += ["--unixsocket", str(self.socket)] if self.socket is not None else []
        self._process = Process([*command, *self._options], self.folder / "redis.log")
        with self._process.starting():
            self._process.wait_for("Ready to accept connections")
            eventually(self._answers)

    def stop(self) -> None:
        """Stop the server. Its port then refuses connections."""
        if self._process is not None:
            self._process.signal(signal.SIGCONT)
            self._process.end()
            self._process.log.unlink()
            self._process = None

    def freeze(self) -> None:
        """Freeze the server: it accepts connections but does not reply."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen server."""
        self.process.signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return bool(self.command("PING"))
        except redis.ConnectionError:
            return False


def is_installed() -> bool:
    """Return whether redis-server is installed on the system."""
    return shutil.which(PROGRAM) is not None
