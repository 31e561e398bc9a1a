# SPDX-License-Identifier: Apache-2.0
"""Read the settings again while the exporter runs, and apply those that can be applied.

Input: a function that reads the settings, and those that apply them. A reload applies the log level, the web
configuration (users, headers, TLS) and the list of applications with their common servers. Files of passwords need no
reload, because they are read for each connection. Other settings that differ are named in the log and need a restart.
Settings that can't be read change nothing.
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
SERVERS = frozenset(("redis.servers", "redis.keys"))
"""Further ones that it applies in an exporter of several applications."""

log = structlog.get_logger(__name__)


def _refuse_other_kind(running: Settings, read: Settings) -> None:
    if bool(read.applications) != bool(running.applications):
        raise ConfigError("applications: restart to change between one application and several")


class Reloader:
    """Apply settings to a running process, in one thread. ``samples`` and ``secrets`` are thread-safe."""

    def __init__(self, settings: Settings, read: Callable[[], Settings], clock: Clock) -> None:
        self._settings = settings
        self._read = read
        self._clock = clock
        self._latest = settings  # The settings that were read last, whether they are in use or not.
        self._outcome = (1.0, clock.now())  # As in Prometheus, the start counts as the first reload.

    def reload(
        self, secure: Callable[[WebConfig], None], prepare: Callable[[Settings], Callable[[], list[str]]]
    ) -> None:
        """Read and apply the settings. Failures are logged.

        ``secure`` applies a web configuration. ``prepare`` returns what applies the list of applications, and returns
        what was done. Both raise ConfigError and change nothing if that is impossible.
        """
        try:
            read = self._latest = self._read()
            _refuse_other_kind(self._settings, read)
            change = prepare(read)
            secure(read.web_config)
            changed = change()
        except ConfigError as error:
            self._outcome = (0.0, self._outcome[1])
            log.warning("app.reload_failed", error=str(error), effect="the settings of before stay in use")
            return
        logs.set_level(read.log.level)
        self._outcome = (1.0, self._clock.now())
        log.info("app.reloaded", log_level=read.log.level, users=len(read.web_config.users))
        if changed:
            log.info("app.applications_changed", applications=changed)
        live = LIVE | (SERVERS if read.applications else frozenset())
        differs = [name for name in differing(self._settings, read) if name not in live]
        if differs:
            log.warning("app.restart_needed", settings=differs, cause="a reload does not change these")

    def secrets(self) -> list[str]:
        """Return every text that must not be shown, of the settings at the start and of those that were read last."""
        return [*self._settings.secrets, *self._latest.secrets]

    def samples(self) -> list[Sample]:
        """Return whether the last reload succeeded, and the time of the last successful one."""
        successful, at = self._outcome
        return [Sample(internals.RELOAD_SUCCESSFUL, (), successful), Sample(internals.RELOAD_SUCCESS_TIME, (), at)]
