"""Read the settings again while the exporter runs, and apply those that can be applied.

Input: a function that reads the settings, and one that applies the web configuration. A reload applies the log level
and the web configuration: users, headers, TLS. Files of passwords need no reload, because they are read for each
connection. Other settings that differ are named in the log and need a restart. Settings that can't be read change
nothing.
"""

from collections.abc import Callable

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.records.web_config import WebConfig
from celery_redis_exporter.settings import Settings, differing

LIVE = frozenset(("log.level", "web.config.file"))
"""The settings that a reload applies."""

log = structlog.get_logger(__name__)


class Reloader:
    """Apply settings to a running process, in one thread. ``samples`` and ``secrets`` are thread-safe."""

    def __init__(self, settings: Settings, read: Callable[[], Settings], clock: Clock) -> None:
        self._settings = settings
        self._read = read
        self._clock = clock
        self._latest = settings  # The settings that were read last, whether they are in use or not.
        self._outcome = (1.0, clock.now())  # As in Prometheus, the start counts as the first reload.

    def reload(self, secure: Callable[[WebConfig], None]) -> None:
        """Read and apply the settings. Failures are logged.

        ``secure`` applies a web configuration. It raises ConfigError and changes nothing if that is impossible.
        """
        try:
            read = self._latest = self._read()
            secure(read.web_config)
        except ConfigError as error:
            self._outcome = (0.0, self._outcome[1])
            log.warning("app.reload_failed", error=str(error), effect="the settings of before stay in use")
            return
        logs.set_level(read.log.level)
        self._outcome = (1.0, self._clock.now())
        log.info("app.reloaded", log_level=read.log.level, users=len(read.web_config.users))
        differs = [name for name in differing(self._settings, read) if name not in LIVE]
        if differs:
            log.warning("app.restart_needed", settings=differs, cause="a reload does not change these")

    def secrets(self) -> list[str]:
        """Return every text that must not be shown, of the settings at the start and of those that were read last."""
        return [*self._settings.secrets, *self._latest.secrets]

    def samples(self) -> list[Sample]:
        """Return whether the last reload succeeded, and the time of the last successful one."""
        successful, at = self._outcome
        return [Sample(internals.RELOAD_SUCCESSFUL, (), successful), Sample(internals.RELOAD_SUCCESS_TIME, (), at)]
