# SPDX-License-Identifier: Apache-2.0
"""Run Debian's redis_exporter as a process, to compare its metrics with those of this exporter.

Input: a server's port. Output: its scrape. Its defaults are compared, and the metrics that ``flags`` enable.
"""

import http.client
import shutil
from collections.abc import Sequence
from contextlib import closing

from tests.integration.conftest import Programs
from tests.integration.processes import free_port
from tests.support.waiting import eventually

PROGRAM = "prometheus-redis-exporter"


class RedisExporter:
    """One redis_exporter, started. ``up`` is the expected value of its ``redis_up``."""

    def __init__(
        self, programs: Programs, redis_port: int, up: int = 1, program: str = PROGRAM, flags: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self._up = up
        address = f"-redis.addr=redis://127.0.0.1:{redis_port}"
        programs.run(program, address, f"-web.listen-address=127.0.0.1:{self.port}", *flags)
        eventually(self._answers)

    def text(self) -> str:
        """Scrape it and return the text."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def _answers(self) -> bool:
        try:
            return f"\nredis_up {self._up}\n" in self.text()
        except ConnectionRefusedError:
            return False


def is_installed() -> bool:
    """Return whether redis_exporter is installed on the system."""
    return shutil.which(PROGRAM) is not None
