"""Build the process: one Celery application, the servers that a scrape reads, and the answers to requests.

Input: settings and a clock. Output: metrics, verdicts and the report. This is the composition root: parts are built
before the objects that use them, and nothing is attached to an object after its constructor returned.
"""

import platform
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain

from msgspec.json import encode

from celery_redis_exporter import __version__
from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.redis_targets import RedisTargets
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.cluster_nodes import ClusterNodes
from celery_redis_exporter.collectors.memory_guard import MemoryGuard
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.daemon.checks import background_checks, server_checks
from celery_redis_exporter.daemon.key_spaces import KeySpaces
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, negotiate
from celery_redis_exporter.records.report import Check, Report
from celery_redis_exporter.scrape.denials import Denials
from celery_redis_exporter.scrape.duplicate_servers import DuplicateServers
from celery_redis_exporter.scrape.response import Responder
from celery_redis_exporter.scrape.scrape import Background, Scrape
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.settings import Settings
from celery_redis_exporter.sources.wire import LIBRARY_VERSION
from celery_redis_exporter.status import MARKED, Snapshot, Status
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.servers import Servers
from celery_redis_exporter.web.page import render_page
from celery_redis_exporter.web.routes import MetricsReply
from celery_redis_exporter.web.view import View

STOP_SECONDS = 0.9
"""Seconds for the threads, and again for open requests: less than 2 s in all, whatever hangs."""
SCRAPE_MARGIN = 0.5
"""Seconds of Prometheus's own timeout that are left for rendering and transport."""


class Exporter:
    """The exporter, built and not started. ``own_samples`` return samples of the process besides those made here."""

    def __init__(self, settings: Settings, clock: Clock, own_samples: Iterable[Background] = ()) -> None:
        self.settings = settings
        self.clock = clock
        self.stop = threading.Event()
        self.endpoints = Endpoints(settings, clock)
        self.application = Application(settings, self.endpoints, clock)
        store = self.store = self.application.store
        self.supervisor = Supervisor(clock, self.stop, self._count_bug)
        redis = RedisTargets(settings, self.endpoints, store, clock)
        broker = self.application.broker.scrape
        others = {target: redis.server(target) for target in settings.redis_targets if target.name != broker.name}
        read = [broker, *others.values(), *redis.sentinels()]
        self.reads = ServerReads(read, clock, self.supervisor, settings.scrape.freshness)
        clusters = [redis.cluster(target, seed) for target, seed in others.items() if redis.may_be_cluster(target)]
        self.cluster_nodes = ClusterNodes(clusters, self.reads, store, clock, options.topology_options(settings))
        queues, transport = self.application.queues, self.application.transport
        self.key_spaces = KeySpaces(settings, self.endpoints, queues, transport, store, self.cluster_nodes.masters)
        servers = Servers(clock, settings.redis.assumed_maxmemory)
        self.scrape = Scrape(
            self.reads,
            background=(self.key_spaces.samples, servers.samples, Denials(self.reads).samples, *own_samples),
            observers=(servers.note, DuplicateServers(self.reads, clock).note),
            labels=options.static_labels(settings),
        )
        self.status = Status(__version__, clock, servers)
        self.guards = self._build_guards() if settings.redis.memory_guard.enabled else {}
        shown, dropped = settings.metrics, options.dropped_metrics(settings)
        renderer = Renderer(ProcessMetrics(shown.labels), created=shown.created, dropped=dropped)
        self.responder = Responder(self.scrape, self.application.families, renderer, store.text_bytes)
        self._reporting = threading.Lock()  # A large report costs memory, so one is made at a time.
        self._scrape_duration = store.histogram(internals.SCRAPE_DURATION)
        versions = (__version__, platform.python_version(), LIBRARY_VERSION)
        store.scalar(internals.BUILD_INFO, *versions).value = 1

    def start(self) -> None:
        """Start every thread but the web server's."""
        start, stop = self.supervisor.start, self.stop
        self.reads.start()
        self.application.start(self.supervisor, stop)
        for name, finder in self.endpoints.finders.items():
            start(f"sentinel_{name}", partial(finder.watch, stop))
        for name, guard in self.guards.items():
            start(f"memory_guard_{name}", partial(guard.run, stop))
        if self.cluster_nodes.is_needed:
            start("redis_nodes", partial(self.cluster_nodes.run, stop))
        self.key_spaces.start(self.supervisor, stop)
        marked = partial(self.application.families, whole=True, only=MARKED)
        start("status", partial(self.status.run, marked, stop))

    def close(self) -> list[str]:
        """Stop every thread. Return the names of those that do not end in time."""
        self.stop.set()
        self.reads.stop()
        self.application.close()
        self.key_spaces.close()
        self.cluster_nodes.close()
        for guard in self.guards.values():
            guard.close()
        return self.supervisor.join(STOP_SECONDS)

    def metrics(self, accept: str, accept_encoding: str, timeout: float | None) -> MetricsReply:
        """Answer a scrape. Waits for the servers.

        ``accept`` and ``accept_encoding`` are headers of the request. ``timeout`` is Prometheus's own, in seconds, or
        None.
        """
        started = self.clock.monotonic()
        deadline = self.settings.scrape.deadline
        if timeout is not None:
            deadline = max(min(deadline, timeout - SCRAPE_MARGIN), 0.05)
        reply_format = negotiate(accept, accept_encoding)
        body = self.responder.respond(reply_format, deadline)
        with self.store.lock:
            self._scrape_duration.observe(self.clock.monotonic() - started)
        return MetricsReply(body, reply_format.content_type, "gzip" if reply_format.gzip else None)

    def healthy(self) -> tuple[bool, str]:
        """Return whether every thread is alive, and a text that says so.

        Redis does not matter here, so that no orchestrator restarts the exporter because of it.
        """
        dead = self.supervisor.dead()
        return (False, f"threads ended: {', '.join(dead)}") if dead else (True, "ok")

    def ready(self) -> tuple[bool, str]:
        """Return whether events are received and every server answers, and a text with the reasons if not."""
        bad = [f"{check.check}: {check.detail}" for check in self.checks() if check.state == "failed"]
        return (False, "; ".join(bad)) if bad else (True, "ok")

    def checks(self) -> list[Check]:
        """Return the state of the event stream, of the background loops and of each server. Waits for the servers."""
        found = self.scrape.request(self.settings.scrape.deadline).wait()
        return [*background_checks(self.application, self.supervisor), *server_checks(self.settings, found)]

    def report(self) -> Report:
        """Return the current report, for people. Waits for the servers."""
        found = self.scrape.request(self.settings.scrape.deadline).wait()
        checks = [*background_checks(self.application, self.supervisor), *server_checks(self.settings, found)]
        application = self.application
        with self._reporting:
            families, failures = application.families(whole=True), application.failures()
            background = self.scrape.background()
            return self.status.report(Snapshot(families, found, background, checks, failures, application.activity()))

    def numbers(self) -> Numbers:
        """Return all current values, for look-ups by metric and labels. Waits for the servers."""
        found = self.scrape.request(self.settings.scrape.deadline).wait()
        samples = [*chain.from_iterable(found.values()), *self.scrape.background()]
        return Numbers(self.application.families(whole=True), samples)

    def show_status(self) -> bytes:
        """Return the report as JSON."""
        return encode(self.report())

    def home(self, query: Mapping[str, str]) -> str:
        """Return the status page. ``query`` contains the parameters of the request."""
        return render_page(self.report(), View.of(query), self.settings.web.telemetry_path)

    def _build_guards(self) -> dict[str, MemoryGuard]:
        wanted, deadline = options.guard_options(self.settings), self.settings.scrape.deadline
        return {
            target.name: MemoryGuard(
                target.name, self.endpoints.session(target, timeout=deadline), self.store, self.clock, wanted
            )
            for target in self.settings.redis_targets
        }

    def _count_bug(self, name: str) -> None:
        with self.store.lock:
            self.store.scalar(internals.UNEXPECTED_ERRORS, name).value += 1
