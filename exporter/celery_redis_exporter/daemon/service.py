# SPDX-License-Identifier: Apache-2.0
"""Run the exporter as a service, with its web server, from its first log line to its last.

Input: settings. Output: the process's exit code, after SIGTERM or SIGINT.
"""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import TextIO, cast

import structlog

from celery_redis_exporter import __version__
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.daemon.exporter import STOP_SECONDS, Exporter
from celery_redis_exporter.daemon.log_stream import open_log_stream
from celery_redis_exporter.daemon.reload import Reloader
from celery_redis_exporter.daemon.tuning import (
    RETURN_SECONDS,
    keep_little_memory,
    keep_pauses_short,
    limit_memory,
    resident_bytes,
    return_memory,
)
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.records.web_config import WebConfig
from celery_redis_exporter.scrape.scrape import Background
from celery_redis_exporter.settings import RedisTarget, Settings
from celery_redis_exporter.web.listeners import address_of, adopt_systemd_sockets, bind, unix_path
from celery_redis_exporter.web.routes import HEALTHY_PATH, Handlers, build_app
from celery_redis_exporter.web.security import GuardedApp, open_tls
from celery_redis_exporter.web.server import WebServer

BODIES_FACTOR = 2.2
"""How many bodies of the largest size are sent at once: the newest and the one before it, in OpenMetrics too."""
LAST_LINES_SECONDS = 0.5
"""Seconds in which the last lines of the log can be written."""

log = structlog.get_logger(__name__)


class Service:
    """The exporter with its web server, bound and not started.

    Changes neither signal handlers nor the configuration of logs. Raises ConfigError if it can't listen as configured,
    or can't use the state file. ``address`` is the HOST:PORT or ``unix:PATH`` it listens on, ``scheme`` is http or
    https.
    """

    def __init__(self, settings: Settings, own_samples: Iterable[Background] = ()) -> None:
        exporter = self.exporter = Exporter(settings, SystemClock(), own_samples, keeps_state=True)
        web = settings.web
        security = settings.web_config
        self._tls = open_tls(security, exporter.clock)
        listeners = adopt_systemd_sockets(os.environ) if web.systemd_socket else [bind(web.listen_address)]
        self._own_path = "" if web.systemd_socket else unix_path(web.listen_address)
        handlers = Handlers(exporter.metrics, exporter.healthy, exporter.ready, exporter.home, exporter.show_status)
        routes = build_app(handlers, web.telemetry_path, int(BODIES_FACTOR * settings.series.max_bytes))
        open_paths = (HEALTHY_PATH,) if settings.web.open_health else ()
        self._app = GuardedApp(routes, security, exporter.clock, open_paths)
        self._web = WebServer(listeners, self._app, self._tls)
        self.address = address_of(listeners[0])
        self.scheme = "https" if self._tls else "http"

    def start(self) -> None:
        """Restore the state, then start every thread. Raises ConfigError for a state file that can't be used."""
        settings = self.exporter.settings
        path = settings.web.telemetry_path
        log.info("app.started", version=__version__, scheme=self.scheme, listen=self.address, path=path)
        for target in settings.targets:
            named = {"redis": target.name} if isinstance(target, RedisTarget) else {"broker": target.scheme}
            log.info("app.server_configured", **named, url=target.redacted)
        for name, application in settings.applications.items():
            log.info("app.application_configured", application=name, broker=application.broker.redacted)
        for note in (*settings.notes, *(note for one in settings.applications.values() for note in one.notes)):
            log.warning("app.configuration_noted", note=note)
        self.exporter.start()
        self._web.start()

    def secure(self, config: WebConfig) -> None:
        """Apply a web configuration from the next connection and request on.

        Raises ConfigError without changing anything.
        """
        if (config.tls is None) != (self._tls is None):
            raise ConfigError(f"web.config.file: TLS is {'off' if config.tls is None else 'on'} now; restart for that")
        if self._tls is not None and config.tls is not None:
            self._tls.replace(config.tls)
        self._app.replace(config)

    def close(self) -> None:
        """Stop every thread, within twice STOP_SECONDS."""
        log.info("app.stopping")
        left = self.exporter.close()
        served = self._web.stop(STOP_SECONDS)
        if self._own_path:
            Path(self._own_path).unlink(missing_ok=True)
        self.exporter.save()
        log.info("app.stopped", left_behind=left, requests_cut_off=not served)


def run(settings: Settings, read: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit code. Raises ConfigError.

    SIGHUP reads the settings again by ``read``.
    """
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is signal.SIG_DFL:  # The default action of these signals would end the process.
            signal.signal(number, signal.SIG_IGN)
    stream = open_log_stream()
    reloader = Reloader(settings, read, SystemClock())
    logs.configure(settings.log.level, settings.log.format, cast("TextIO", stream), secrets=reloader.secrets)
    keep_little_memory()
    service = Service(settings, [lambda: [Sample(internals.LOG_LINES_DROPPED, (), stream.dropped)], reloader.samples])
    hangup = threading.Event()
    wakes = _watch_signals(service.exporter.stop, hangup)
    keep_pauses_short()
    service.start()
    limit_memory()
    least = resident_bytes()
    while not service.exporter.stop.is_set():
        if not select.select([wakes], [], [], RETURN_SECONDS)[0]:
            return_memory(least)
            continue
        os.read(wakes, 1)
        if hangup.is_set():
            hangup.clear()
            reloader.reload(service.secure, service.exporter.prepare)
    service.close()
    stream.drain(LAST_LINES_SECONDS)
    return 0


def _watch_signals(stop: threading.Event, hangup: threading.Event) -> int:
    """Stop cleanly on the first signal, at once on the second. Return a descriptor that has a byte after each.

    SIGHUP sets ``hangup``. Handlers run in the main thread, but the kernel delivers a signal to any thread. After
    SIGCONT, which systemd or an unpaused container sends, that is often another thread, and the main thread keeps
    waiting for a lock.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    signal.signal(signal.SIGHUP, lambda _number, _frame: hangup.set())
    return reader
