# SPDX-License-Identifier: Apache-2.0
"""The exporter under attack, and the observation of it.

Input: a situation. Output: an exporter with a memory limit, its resident memory, and a scraper that scrapes it
once a second as Prometheus does.
"""

import http.client
import json
import math
import re
import ssl
import sys
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt

from celery_redis_exporter.clock import SystemClock
from tests.attacks.limits import MemoryLimit
from tests.attacks.names import CHANNEL, messages
from tests.integration.conftest import Programs
from tests.integration.exporters import LISTEN, Exporter
from tests.integration.redis_servers import RedisServer
from tests.support.certificates import Authority
from tests.support.waiting import eventually

USER, PASSWORD, COST = "prometheus", "correct horse", 10
SCRAPE_HEADERS = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "gzip"}


@dataclass(slots=True)
class Seen:
    """Results of a scraper: the seconds of each scrape, scrapes without a response, failed health checks."""

    seconds: list[float] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unhealthy: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """Return the 99th percentile of the seconds; with few scrapes this is the longest."""
        found = sorted(self.seconds)
        return found[math.ceil(0.99 * len(found)) - 1] if found else math.nan


class Target:
    """An exporter with a memory limit; ``security`` is "", "tls" or "passwords"."""

    def __init__(self, programs: Programs, limit: MemoryLimit, broker_url: str, security: str = "") -> None:
        self._clock = SystemClock()
        self._headers = dict(SCRAPE_HEADERS)
        self._context: ssl.SSLContext | None = None
        file = self._secure(programs.folder, security)
        flags = ("--broker-url", broker_url, "--celery.inspect-interval=0", "--web.config.file", str(file), *LISTEN)
        module = (sys.executable, "-m", "celery_redis_exporter")
        process = programs.run(*limit.command, *module, *flags, environment={"EXPORTER_SERIES__ZERO_FIRST": "0"})
        process.wait_for('"app.started"')
        self.exporter = Exporter.of(process)

    @property
    def resident(self) -> int:
        """Return the resident memory in MiB."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """Return the peak of the resident memory in MiB, since the start or the last ``forget_peak``."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Reset the peak."""
        Path(f"/proc/{self.exporter.process.pid}/clear_refs").write_text("5", encoding="utf-8")

    @property
    def errors(self) -> list[str]:
        """Return what no attack may cause: unexpected errors, and the end of the process."""
        output = self.exporter.process.output()
        found = [f"ended with {self.exporter.process.exit_code}"] if self.exporter.process.exit_code is not None else []
        return found + [word for word in ("Traceback", "unexpected_error") if word in output]

    @contextmanager
    def scraped(self, pause: float = 1.0) -> Iterator[Seen]:
        """Scrape and request the health each second during a with block."""
        seen, over = Seen(), threading.Event()
        thread = threading.Thread(target=self._scrape_until, args=(over, seen, pause), daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join(30)

    def publish(self, server: RedisServer, events: Iterable[dict[str, Any]]) -> None:
        """Publish events, and wait until all are counted."""
        published = 0
        with server.client() as client:
            for message, count in messages(events):
                client.publish(CHANNEL, message)
                published += count
        eventually(lambda: self._events() == published, 90)

    def _events(self) -> int:
        lines = re.findall(r"^celery_exporter_events_total\{.*\} (\S+)$", self.exporter.get().text, re.MULTILINE)
        return int(sum(map(float, lines)))

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.exporter.process.pid}/status").read_text(encoding="utf-8")
        found = [int(line.split()[1]) for line in status.splitlines() if line.startswith(name)]
        return found[0] // 1024 if found else 0  # a process that ended has no memory; ``errors`` reports it

    def _secure(self, folder: Path, security: str) -> Path:
        config: dict[str, Any] = {}
        if security == "tls":
            authority = Authority(folder, "authority")
            certificate, key = authority.issue("server")
            config = {"tls_server_config": {"cert_file": str(certificate), "key_file": str(key)}}
            self._context = ssl.create_default_context(cafile=authority.certificate)
        if security == "passwords":
            hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
            config = {"basic_auth_users": {USER: hashed}}
            self._headers["Authorization"] = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        file = folder / "web.yml"
        file.write_text(json.dumps(config), encoding="utf-8")
        return file

    def _scrape_until(self, over: threading.Event, seen: Seen, pause: float) -> None:
        due = self._clock.monotonic()
        while not over.wait(max(0.0, due - self._clock.monotonic())):
            due = max(due + pause, self._clock.monotonic())
            began = self._clock.monotonic()
            if self._request("/metrics", seen.unanswered):
                seen.seconds.append(self._clock.monotonic() - began)
            self._request("/-/healthy", seen.unhealthy)

    def _request(self, path: str, failed: list[str]) -> bool:
        """Return whether a request has the status 200."""
        port = self.exporter.port
        connection = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=10) if self._context is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=self._context)
        )  # fmt: skip
        try:
            with closing(connection):
                connection.request("GET", path, headers=self._headers)
                reply = connection.getresponse()
                body = reply.read()
        except (OSError, http.client.HTTPException) as error:
            failed.append(repr(error)[:200])
            return False
        if reply.status != 200:
            failed.append(f"{reply.status} {body[:100]!r}")
        return reply.status == 200
