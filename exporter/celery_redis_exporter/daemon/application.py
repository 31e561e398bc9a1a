"""The composition root: the only file that knows every room.

Takes settings, builds the exporter, starts and stops its threads, answers what the web side asks.
"""

import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.json import encode

from celery_redis_exporter import __version__
from celery_redis_exporter.brokers.broker import build_broker
from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.redis_targets import RedisTargets
from celery_redis_exporter.catalog import CATALOG, Metric, internals
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.catalog.queues import QUEUE_CONSUMERS, QUEUE_LENGTH
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.cluster_nodes import Topology
from celery_redis_exporter.collectors.control import Control
from celery_redis_exporter.collectors.events import EventPipeline
from celery_redis_exporter.collectors.memory_guard import MemoryGuard
from celery_redis_exporter.collectors.redbeat import Schedules
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.key_spaces import KeySpaces
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, negotiate
from celery_redis_exporter.records.report import Check, Report
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.scrape.answer import Answerer
from celery_redis_exporter.scrape.denials import Denials
from celery_redis_exporter.scrape.duplicate_servers import Twins
from celery_redis_exporter.scrape.scrape import Scrape
from celery_redis_exporter.settings import KombuTarget, Settings
from celery_redis_exporter.settings.targets import named_redis_targets
from celery_redis_exporter.sources.redbeat import RedBeat
from celery_redis_exporter.sources.wire import LIBRARY_VERSION
from celery_redis_exporter.state.beats import Beats
from celery_redis_exporter.state.consumers import Consumers
from celery_redis_exporter.state.control import Interview
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.tasks import Tasks
from celery_redis_exporter.state.workers import Workers
from celery_redis_exporter.status import MARKED, Found, Status
from celery_redis_exporter.web.page import render_page
from celery_redis_exporter.web.routes import MetricsReply
from celery_redis_exporter.web.view import View

STOP_SECONDS = 0.9
"""For the threads, and again for open requests: less than 2 s in all, whatever hangs."""
SCRAPE_MARGIN = 0.5
"""Seconds of Prometheus's own timeout that are left for rendering and transport."""
SCRAPE_ERRORS = (redis_rows.LAST_SCRAPE_ERROR, internals.BROKER_LAST_SCRAPE_ERROR)


class App:
    """The exporter, built and not started."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.stop = threading.Event()
        event_driven = [metric for metric in CATALOG.values() if metric not in redis_rows.METRICS]
        new = options.new_series(settings, clock)
        self.store = Store(event_driven, settings.series.max_per_metric, settings.buckets, new)
        self.workers = Workers(self.store, clock, options.worker_limits(settings))
        self.tasks = Tasks(self.store, self.workers, options.task_limits(settings), exemplars=settings.events.exemplars)
        refuse = partial(self.store.refuse, QUEUE_LENGTH)
        self.queues = Queues(self.tasks, settings.queues.names, settings.queues.max, refuse, settings.series.ttl)
        self.consumers = Consumers(self.store, self.workers, self.queues, clock, settings.workers.lost_after)
        self.pipeline = EventPipeline(self.store, self.tasks, self.workers, clock)
        self.supervisor = Supervisor(clock, self.stop, self._count_bug)
        self._build_sources()
        shown = settings.metrics
        dropped = options.dropped_metrics(settings)
        renderer = Renderer(ProcessMetrics(shown.labels), created=shown.created, dropped=dropped)
        self.answerer = Answerer(self.scrape, self.pipeline, self.tasks, renderer)
        versions = (__version__, platform.python_version(), LIBRARY_VERSION)
        self.store.scalar(internals.BUILD_INFO, *versions).value = 1
        self._scrape_duration = self.store.histogram(internals.SCRAPE_DURATION)

    def start(self) -> None:
        """Start every thread but the web server's."""
        self.scrape.start()
        start, stop = self.supervisor.start, self.stop
        start("event_stream", partial(self.pipeline.listen, self.broker.stream, stop))
        for name, finder in self.endpoints.finders.items():
            start(f"sentinel_{name}", partial(finder.watch, stop))
        interval, discovery = self.settings.queues.discovery_interval, self.broker.discovery
        if interval and discovery:
            start("queue_discovery", partial(discovery.run, stop, interval, self.settings.queues.discovery_max_keys))
        if options.control_options(self.settings).is_needed:
            start("control", partial(self.control.run, stop))
        for name, guard in self.guards.items():
            start(f"memory_guard_{name}", partial(guard.run, stop))
        if self.topology.is_needed:
            start("redis_nodes", partial(self.topology.run, stop))
        self.key_spaces.start(self.supervisor, stop)
        start("status", partial(self.status.run, partial(self._read_events, MARKED), stop))
        if self.schedules is not None:
            start("redbeat", partial(self.schedules.run, stop, self.settings.redbeat.interval))

    def close(self) -> list[str]:
        """Stop every thread; give the names of those that do not end in time."""
        self.stop.set()
        self.scrape.stop()
        self.broker.close()
        self.control.close()
        self.key_spaces.close()
        self.topology.close()
        for guard in self.guards.values():
            guard.close()
        if self.schedules is not None:
            self.schedules.close()
        return self.supervisor.join(STOP_SECONDS)

    def metrics(
        self, accept: str, accept_encoding: str, timeout: float | None
    ) -> MetricsReply | Callable[[], MetricsReply]:
        """Answer a scrape, or give what will in a thread that may wait; ``timeout`` is Prometheus's own, in seconds."""
        started = self.clock.monotonic()
        deadline = self.settings.scrape.deadline
        if timeout is not None:
            deadline = max(min(deadline, timeout - SCRAPE_MARGIN), 0.05)
        reply_format = negotiate(accept, accept_encoding)
        answer = self.answerer.begin(reply_format, deadline)

        def reply(body: bytes) -> MetricsReply:
            with self.store.lock:
                self._scrape_duration.observe(self.clock.monotonic() - started)
            return MetricsReply(body, reply_format.content_type, "gzip" if reply_format.gzip else None)

        body = answer.at_once()
        return reply(body) if body is not None else lambda: reply(answer.wait())

    def healthy(self) -> tuple[bool, str]:
        """Whether every thread lives; says nothing of Redis, so that no orchestrator restarts us for its sake."""
        dead = self.supervisor.dead()
        return (False, f"threads ended: {', '.join(dead)}") if dead else (True, "ok")

    def ready(self) -> tuple[bool, str]:
        """Whether events are heard and every server answers."""
        bad = [f"{check.check}: {check.detail}" for check in self.checks() if check.state == "failed"]
        return (False, "; ".join(bad)) if bad else (True, "ok")

    def checks(self) -> list[Check]:
        """State of the event stream and of each server."""
        return self._checks(self._read())

    def report(self) -> Report:
        """Everything of the moment, for people."""
        found = self._read()
        background = [sample for samples in self.scrape.background for sample in samples()]
        with self.store.lock:
            failures = self.tasks.failures.newest()
        return self.status.report(Found(self._read_events(), found, background, self._checks(found), failures))

    def show_status(self) -> bytes:
        """The report as JSON."""
        return encode(self.report())

    def home(self, query: Mapping[str, str]) -> str:
        """The status page."""
        return render_page(self.report(), View.of(query), self.settings.web.telemetry_path)

    def _read_events(self, only: frozenset[Metric] | None = None) -> list[Family]:
        return self.scrape.events(self.pipeline, self.tasks, whole=True, only=only)

    def _read(self) -> dict[str, list[Sample]]:
        return self.scrape.begin(self.settings.scrape.deadline).wait()

    def _checks(self, found: Mapping[str, Sequence[Sample]]) -> list[Check]:
        return [*self._background_checks(), *self._server_checks(found)]

    def _background_checks(self) -> list[Check]:
        trouble = self.supervisor.trouble()
        checks = []
        for name, label in (("event_stream", "Event stream"), ("queue_discovery", "Queue discovery")):
            if name == "event_stream" or (self.settings.queues.discovery_interval and self.broker.discovery):
                bad = trouble.get(name)
                checks.append(Check(label, "failed" if bad else "ok", bad or "connected"))
        if options.control_options(self.settings).is_needed:
            bad, refused = trouble.get("control"), self.control.refused
            state = "failed" if bad else "off" if refused else "ok"
            checks.append(Check("Control", state, bad or refused or "asks workers in the background"))
        return checks

    def _server_checks(self, found: Mapping[str, Sequence[Sample]]) -> list[Check]:
        targets = {target.name: target.redacted for target in self.settings.targets}
        brokers = {target.name for target in self.settings.targets if isinstance(target, KombuTarget)}
        checks = []
        for name, samples in found.items():
            reasons = [sample.labels[1] for sample in samples if sample.metric in SCRAPE_ERRORS]
            state = "failed" if any(reasons) else "ok"
            title = "Broker" if name in brokers else f"Redis {name}"
            checks.append(Check(title, state, reasons[0] or targets.get(name, "")))
        return checks

    def _build_sources(self) -> None:
        settings, clock = self.settings, self.clock
        self.endpoints = Endpoints(settings, clock)
        broker = self.broker = build_broker(settings, self.endpoints, self.queues, self.store, clock)
        self.pipeline.decode = broker.decode
        if broker.counts_consumers:
            self.consumers.leave_to_broker(QUEUE_CONSUMERS)
        servers = RedisTargets(settings, self.endpoints, clock)
        others = {
            target: servers.server(target) for target in settings.redis_targets if target.name != broker.scrape.name
        }
        read = [broker.scrape, *others.values(), *servers.sentinels()]
        self.scrape = Scrape(read, self.store, self.supervisor, options.scrape_options(settings, self.workers.merging))
        self.key_spaces = KeySpaces(settings, self.endpoints, self.queues, self.store, clock)
        self.scrape.background.append(self.key_spaces.samples)
        self.status = Status(__version__, clock, settings.redis.assumed_maxmemory)
        self.scrape.watchers += [self.status.servers.note, Twins(self.scrape, clock).note]
        self.scrape.background.append(self.status.servers.samples)
        self.scrape.background.append(Denials(lambda: self.scrape.targets).samples)
        clusters = [servers.cluster(target, seed) for target, seed in others.items() if servers.may_be_cluster(target)]
        self.topology = Topology(clusters, self.scrape, self.store, clock, options.topology_options(settings))
        beats = Beats(self.store, clock, settings.workers.retention)
        interview = Interview(self.workers, self.tasks, clock, beats)
        self.control = Control(broker.postbox, interview, self.store, clock, options.control_options(settings))
        self.guards = self._build_guards() if settings.redis.memory_guard.enabled else {}
        self.schedules = self._build_schedules() if settings.redbeat.interval else None

    def _build_guards(self) -> dict[str, MemoryGuard]:
        wanted, deadline = options.guard_options(self.settings), self.settings.scrape.deadline
        return {
            target.name: MemoryGuard(
                target.name, self.endpoints.session(target, timeout=deadline), self.store, self.clock, wanted
            )
            for target in self.settings.redis_targets
        }

    def _build_schedules(self) -> Schedules:
        wanted = self.settings.redbeat
        target = next(target for target in named_redis_targets(self.settings) if target.name == wanted.server)
        session = self.endpoints.session(target, timeout=self.settings.scrape.deadline)
        redbeat = RedBeat(session, wanted.key_prefix, wanted.max, self.settings.scrape.deadline)
        return Schedules(redbeat, self.tasks.names.expectations, self.store, self.clock)

    def _count_bug(self, name: str) -> None:
        with self.store.lock:
            self.store.scalar(internals.UNEXPECTED_ERRORS, name).value += 1
