"""Rereads the settings while the exporter runs, and applies what can be applied then.

Takes what reads the settings again, and what serves. Applies the level of the log and the web configuration: users,
headers, TLS. Files of passwords need no reload, they are read for each connection. Whatever else differs is named in
the log and needs a restart. Settings that can't be read change nothing.
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
"""Settings that a reload applies."""

log = structlog.get_logger(__name__)


class Reloader:
    """Applies settings to a running process, in one thread; its samples are asked for from any."""

    def __init__(self, settings: Settings, read: Callable[[], Settings], clock: Clock) -> None:
        self._settings = settings
        self._read = read
        self._clock = clock
        self._latest = settings  # that were read, whether they are in use or not
        self._outcome = (1.0, clock.now())  # as Prometheus does it, the start is the first reading

    def reload(self, secure: Callable[[WebConfig], None]) -> None:
        """Read and apply the settings; failures are logged.

        ``secure`` applies a web configuration; it raises ConfigError and changes nothing if that is impossible.
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
        """Return whether the last reading succeeded, and when one did."""
        successful, at = self._outcome
        return [Sample(internals.RELOAD_SUCCESSFUL, (), successful), Sample(internals.RELOAD_SUCCESS_TIME, (), at)]
