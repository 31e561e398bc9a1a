# SPDX-License-Identifier: Apache-2.0
"""Read reports from an exporter in this process, without a web server, or from a running one (``cli.remote``).

Output: reports, or a SourceError with the reason why there is none.
"""

import os
from typing import Protocol

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.daemon.exporter import Exporter
from celery_redis_exporter.records.report import Overview, Report
from celery_redis_exporter.settings import Settings

PATH = "/api/v1/status"
TIMEOUT = 10.0
FIRST_BYTES = 300
"""An overview has its applications within so many bytes; a report has none."""
LONGEST = 64 * 2**20
"""Most bytes of a response."""


class Source(Protocol):
    """A source of reports."""

    name: str
    """Where the reports come from, for the screen."""

    def read(self) -> Report | Overview:
        """Return the current report, or the overview of several applications. Raises SourceError."""

    def close(self) -> None:
        """Stop what the source started."""


class LocalSource:
    """An exporter in this process.

    The first report comes after ``listen`` seconds. The log is discarded, because it would disturb the screen; failures
    are in the report. Settings that make an exporter change servers or workers are switched off.
    """

    def __init__(self, settings: Settings, listen: float) -> None:
        settings = _watching(settings)
        self._log = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- closed by close()
        logs.configure("error", "json", self._log, secrets=lambda: settings.secrets)
        self._exporter = Exporter(settings, SystemClock())
        self.name = settings.broker.redacted
        self._listen = listen
        self._exporter.start()

    def read(self) -> Report:
        """Return the report."""
        if self._listen:
            self._exporter.stop.wait(self._listen)
            self._listen = 0.0
        return self._exporter.report()

    def close(self) -> None:
        """Stop every thread and close the connections."""
        self._exporter.close()
        self._log.close()


def _watching(settings: Settings) -> Settings:
    """Return the settings without those that change servers and workers. Workers are still queried."""
    guard = settings.redis.memory_guard.model_copy(update={"enabled": False})
    redis = settings.redis.model_copy(update={"memory_guard": guard})
    celery = settings.celery.model_copy(update={"enable_events": False})
    return settings.model_copy(update={"redis": redis, "celery": celery})
