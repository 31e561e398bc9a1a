# SPDX-License-Identifier: Apache-2.0
"""Build the process: a monitor for each Celery application, the servers that several use, and the answers to requests.

Input: settings and a clock. Output: metrics, verdicts and reports. This is the composition root: parts are built
before the objects that use them, and nothing is attached to an object after its constructor returned.
"""

import platform
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from msgspec.json import encode

from celery_redis_exporter import __version__
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.application import new_store
from celery_redis_exporter.daemon.monitor import Monitor
from celery_redis_exporter.daemon.shared_servers import SharedServers
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.errors import UnknownApplicationError, suggest
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, negotiate
from celery_redis_exporter.records.report import Overview, Report
from celery_redis_exporter.scrape.response import MetricsSource, Responder
from celery_redis_exporter.scrape.scrape import Background
from celery_redis_exporter.settings import Settings
from celery_redis_exporter.sources.wire import LIBRARY_VERSION
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.overview import make_overview
from celery_redis_exporter.web.page import render_overview, render_page
from celery_redis_exporter.web.routes import MetricsReply
from celery_redis_exporter.web.view import View

STOP_SECONDS = 0.9
"""Seconds for the threads, and again for open requests: less than 2 s in all, whatever hangs."""
SCRAPE_MARGIN = 0.5
"""Seconds of Prometheus's own timeout that are left for rendering and transport."""
ONLY = ""
"""The name of the application of an exporter that has one."""


class Exporter:
    """The exporter, built and not started.

    ``own_samples`` return samples of the process besides those made here. With ``keeps_state`` it has the state files
    for itself, and uses them. Raises ConfigError if they or a broker can't be used.
    """

    def __init__(
        self, settings: Settings, clock: Clock, own_samples: Iterable[Background] = (), *, keeps_state: bool = False
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.stop = threading.Event()
        self._own_samples = tuple(own_samples)
        self._keeps_state = keeps_state
        self._started = clock.monotonic()
        self._changing = threading.Lock()
        self._turn = threading.Lock()
        self.store = new_store(settings, clock)
        self._shared: SharedServers | None = None
        self.monitors: Mapping[str, Monitor]
        if settings.applications:
            self._shared = SharedServers(settings, clock, self.store, self._own_samples)
            applications = settings.applications
            self.monitors = {name: self._monitor(one, keeps_state=keeps_state) for name, one in applications.items()}
        else:
            only = Monitor(settings, clock, self.store, more=self._own_samples, keeps_state=keeps_state)
            self.monitors = {ONLY: only}
        self._responder = Responder(self._sources, self._renderer(), self._turn)
        self._responders = {name: self._responder_of(name) for name in settings.applications}
        self._scrape_duration = self.store.histogram(internals.SCRAPE_DURATION)
        versions = (__version__, platform.python_version(), LIBRARY_VERSION)
        self.store.scalar(internals.BUILD_INFO, *versions).value = 1

    @property
    def only(self) -> Monitor:
        """Return the monitor of an exporter that has one application without a name."""
        return self.monitors[ONLY]

    def start(self) -> None:
        """Restore the state, then start every thread but the web server's.

        Raises ConfigError for a state file that can't be used.
        """
        for monitor in self.monitors.values():
            monitor.restore()
        if self._shared is not None:
            self._shared.start()
        for monitor in self.monitors.values():
            monitor.start()

    def close(self) -> list[str]:
        """Stop every thread. Return the names of those that do not end in time."""
        self.stop.set()
        with self._changing:
            for monitor in self.monitors.values():
                monitor.close()
            if self._shared is not None:
                self._shared.close()
        return self._join(self._supervisors())

    def save(self) -> None:
        """Write the state files and close them, after the last scrape."""
        for monitor in self.monitors.values():
            monitor.save()

    def prepare(self, settings: Settings) -> Callable[[], list[str]]:
        """Return a function that adds, removes and replaces applications, and returns what it did with each.

        Applications whose own settings are the same are left as they are. Raises ConfigError if one can't be built.
        """
        before, after = self.settings.applications, settings.applications
        if not after or not before:
            return list
        new = [name for name in after if name not in before or after[name].given != before[name].given]
        for name in new:  # Without its state file, which the running one may have.
            self._monitor(after[name], keeps_state=False).close()
        return partial(self._change, settings, new)

    def metrics(
        self, accept: str, accept_encoding: str, timeout: float | None, application: str | None = None
    ) -> MetricsReply:
        """Answer a scrape. Waits for the servers.

        ``accept`` and ``accept_encoding`` are headers of the request. ``timeout`` is Prometheus's own, in seconds, or
        None. ``application`` is the one that is wanted, or None for everything. Raises UnknownApplicationError.
        """
        started = self.clock.monotonic()
        deadline = self.settings.scrape.deadline
        if timeout is not None:
            deadline = max(min(deadline, timeout - SCRAPE_MARGIN), 0.05)
        reply_format = negotiate(accept, accept_encoding, protobuf=self.settings.metrics.native_histograms)
        body = self._responder_for(application).respond(reply_format, deadline)
        with self.store.lock:
            self._scrape_duration.observe(self.clock.monotonic() - started)
        return MetricsReply(body, reply_format.content_type, "gzip" if reply_format.gzip else None)

    def healthy(self) -> tuple[bool, str]:
        """Return whether every thread is alive, and a text that says so.

        Redis does not matter here, so that no orchestrator restarts the exporter because of it.
        """
        dead = [name for supervisor in self._supervisors() for name in supervisor.dead()]
        return (False, f"threads ended: {', '.join(dead)}") if dead else (True, "ok")

    def ready(self, application: str | None = None) -> tuple[bool, str]:
        """Return whether events are received and every server answers, and a text with the reasons if not.

        Of several applications one that works is enough, so that its metrics reach Prometheus. ``application`` is the
        one that is wanted. Raises UnknownApplicationError.
        """
        monitors = self._wanted(application)
        deadline = self.settings.scrape.deadline
        pending = {name: monitor.request(deadline) for name, monitor in monitors.items()}
        bad = {
            name: [check for check in monitor.checks(pending[name]) if check.state in {"starting", "failed"}]
            for name, monitor in monitors.items()
        }
        texts = [
            f"{f'{name}: ' if name else ''}{one.check}: {one.detail}" for name, found in bad.items() for one in found
        ]
        return not all(bad.values()), "; ".join(texts) or "ok"

    def report(self, application: str = ONLY) -> Report:
        """Return the current report of an application, for people. Waits for the servers."""
        return self.monitor(application).report()

    def overview(self) -> Overview:
        """Return the state of every application, the worst first. Waits for the servers."""
        deadline = self.settings.scrape.deadline
        pending = {name: (monitor, monitor.request(deadline)) for name, monitor in self.monitors.items()}
        reports = {name: monitor.report(reads) for name, (monitor, reads) in pending.items()}
        uptime = self.clock.monotonic() - self._started
        return make_overview(reports, __version__, self.clock.now(), uptime)

    def show_status(self, application: str | None = None) -> bytes:
        """Return the report, or the overview of several applications, as JSON. Raises UnknownApplicationError."""
        if application is None and self.settings.applications:
            return encode(self.overview())
        return encode(self.report(application if self.settings.applications and application is not None else ONLY))

    def home(self, query: Mapping[str, str]) -> str:
        """Return the status page. ``query`` contains the parameters of the request. Raises UnknownApplicationError."""
        view, path = View.of(query), self.settings.web.telemetry_path
        if not self.settings.applications:
            return render_page(self.report(), view, path)
        if not view.application:
            return render_overview(self.overview(), view, path)
        return render_page(self.report(view.application), view, path)

    def numbers(self) -> Numbers:
        """Return all current values of the only application, for look-ups by metric and labels."""
        return self.only.numbers()

    def monitor(self, application: str) -> Monitor:
        """Return the monitor of an application. Raises UnknownApplicationError."""
        monitor = self.monitors.get(application)
        if monitor is None:
            raise self._unknown(application)
        return monitor

    def _unknown(self, application: str) -> UnknownApplicationError:
        return UnknownApplicationError(f"no such application{suggest(application, self.monitors)}")

    def _responder_for(self, application: str | None) -> Responder:
        """Return what answers a scrape of everything, or of one application. Raises UnknownApplicationError."""
        if application is None or not self.settings.applications:
            return self._responder
        responder = self._responders.get(application)
        if responder is None:
            raise self._unknown(application)
        return responder

    def _wanted(self, application: str | None) -> Mapping[str, Monitor]:
        if application is None or not self.settings.applications:
            return self.monitors
        return {application: self.monitor(application)}

    def _sources(self) -> Sequence[MetricsSource]:
        return [*([] if self._shared is None else [self._shared]), *self.monitors.values()]

    def _renderer(self) -> Renderer:
        shown = self.settings.metrics
        process = ProcessMetrics(shown.labels)
        dropped = options.dropped_metrics(self.settings)
        return Renderer(process, created=shown.created, classic=shown.classic_histograms, dropped=dropped)

    def _responder_of(self, name: str) -> Responder:
        return Responder(lambda: [self.monitor(name)], self._renderer(), self._turn, of_process=False)

    def _monitor(self, settings: Settings, *, keeps_state: bool) -> Monitor:
        shared = self._shared.servers if self._shared else None
        return Monitor(settings, self.clock, shared=shared, keeps_state=keeps_state)

    def _supervisors(self) -> list[Supervisor]:
        shared = [] if self._shared is None else [self._shared.servers.supervisor]
        return [*shared, *(one for monitor in self.monitors.values() for one in monitor.supervisors)]

    def _join(self, supervisors: Iterable[Supervisor]) -> list[str]:
        """Wait up to STOP_SECONDS for all threads. Return the names of those that do not end."""
        until = self.clock.monotonic() + STOP_SECONDS
        return [name for one in supervisors for name in one.join(max(until - self.clock.monotonic(), 0.0))]

    def _change(self, settings: Settings, new: Sequence[str]) -> list[str]:
        before, after = self.settings.applications, settings.applications
        gone = [name for name in before if name in new or name not in after]
        with self._changing:
            if self.stop.is_set():
                return []
            self._replace_shared(settings)
            self._remove(gone)
            self._add({name: self._monitor(after[name], keeps_state=self._keeps_state) for name in new}, settings)
        done = {name: "replaced" if name in before else "added" for name in new}
        done |= {name: "removed" for name in gone if name not in new}
        return [f"{name} {what}" for name, what in done.items()]

    def _replace_shared(self, settings: Settings) -> None:
        """Read other shared servers from now on, if they are others now, or others of their keys are wanted."""
        ours = self.settings
        redis = ours.redis.model_copy(update={"servers": settings.redis.servers, "keys": settings.redis.keys})
        is_same = redis == ours.redis and settings.message_databases == ours.message_databases
        names = ("applications", "url_files", "message_databases")
        update = {"redis": redis} | {name: getattr(settings, name) for name in names}
        self.settings = ours.model_copy(update=update)
        if is_same:
            return
        before, self._shared = self._shared, SharedServers(self.settings, self.clock, self.store, self._own_samples)
        self._shared.start()
        if before is not None:
            before.close()

    def _remove(self, names: Sequence[str]) -> None:
        """End applications, and wait until their state is saved."""
        gone = [self.monitors[name] for name in names]
        self.monitors = {name: monitor for name, monitor in self.monitors.items() if name not in names}
        self._responders = {name: one for name, one in self._responders.items() if name not in names}
        for monitor in gone:
            monitor.close()
        self._join(one for monitor in gone for one in monitor.supervisors)
        for monitor in gone:
            monitor.save()

    def _add(self, added: Mapping[str, Monitor], settings: Settings) -> None:
        """Start applications, in the order of the settings, and pass to the others what they share now."""
        for name, monitor in self.monitors.items():
            if self._shared is not None:
                monitor.share(settings.applications[name].shared, self._shared.servers)
        for monitor in added.values():
            monitor.restore()
            monitor.start()
        self._responders = {**self._responders, **{name: self._responder_of(name) for name in added}}
        running = {**self.monitors, **added}
        self.monitors = {name: running[name] for name in settings.applications}
