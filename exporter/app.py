"""The composition root: the only file that knows every room.

Takes settings, builds the exporter, runs it until SIGTERM or SIGINT, gives the process's exit code.
"""

import platform
import signal
import threading
from types import FrameType

import structlog

from exporter import __version__, logs
from exporter.broker_parts import BacklogPart, QueuesPart, UnackedPart
from exporter.catalog import CATALOG, internals
from exporter.catalog import redis_server as redis_rows
from exporter.catalog.queues import QUEUE_LENGTH
from exporter.clock import Clock, SystemClock
from exporter.discovery import Discovery
from exporter.exposition import ProcessMetrics, Renderer, negotiate
from exporter.pipeline import EventPipeline
from exporter.scrape import Part, Scrape, ServerScrape
from exporter.settings import RedisTarget, Settings
from exporter.sources.event_stream import EventStream, Topic
from exporter.sources.queues import QueueKeys, QueueScan
from exporter.sources.redis_server import RedisServer
from exporter.sources.session import Session
from exporter.sources.wire import LIBRARY_VERSION, Endpoint
from exporter.state.queues import Queues
from exporter.state.series import Store
from exporter.state.task import STATES
from exporter.state.tasks import Tasks
from exporter.state.tracking import TaskLimits
from exporter.state.workers import WorkerLimits, Workers
from exporter.supervisor import Supervisor
from exporter.web.home import Check, render_home
from exporter.web.routes import Handlers, MetricsReply, build_app
from exporter.web.security import guard, open_tls
from exporter.web.server import WebServer, bind

STOP_SECONDS = 0.9
"""For the threads, and again for open requests: less than 2 s in all, whatever hangs."""
SCRAPE_MARGIN = 0.5
"""Seconds of Prometheus's own timeout that are left for rendering and transport."""

log = structlog.get_logger(__name__)


class App:
    """The exporter, built and not started."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.stop = threading.Event()
        event_driven = [metric for metric in CATALOG.values() if metric not in redis_rows.METRICS]
        exemplars = settings.events.exemplars
        self.store = Store(event_driven, settings.series.max_per_metric, settings.buckets, exemplars=exemplars)
        self.workers = Workers(self.store, clock, worker_limits(settings))
        self.tasks = Tasks(self.store, self.workers, task_limits(settings), exemplars=exemplars)
        self.queues = Queues(
            self.tasks, settings.queues.names, settings.queues.max, lambda: self.store.refuse(QUEUE_LENGTH)
        )
        self.pipeline = EventPipeline(self.store, self.tasks, self.workers, clock)
        self.supervisor = Supervisor(clock, self.stop, self._count_bug)
        self.renderer = Renderer(ProcessMetrics())
        self._build_sources()
        versions = (__version__, platform.python_version(), LIBRARY_VERSION)
        self.store.scalar(internals.BUILD_INFO, *versions).value = 1
        self._scrape_duration = self.store.histogram(internals.SCRAPE_DURATION)

    def start(self) -> None:
        """Start every thread but the web server's."""
        self.scrape.start(self.supervisor)
        self.supervisor.start("event_stream", lambda works: self.pipeline.listen(self.stream, self.stop, works))
        interval = self.settings.queues.discovery_interval
        if interval:
            self.supervisor.start(
                "queue_discovery",
                lambda works: self.discovery.run(self.stop, interval, self.settings.queues.discovery_max_keys, works),
            )

    def close(self) -> list[str]:
        """Stop every thread; give the names of those that do not end in time."""
        self.stop.set()
        self.scrape.stop()
        self.stream.close()
        self.scan.close()
        for server in self.servers:
            server.close()
        return self.supervisor.join(STOP_SECONDS)

    def metrics(self, accept: str, accept_encoding: str, timeout: float | None) -> MetricsReply:
        """Answer a scrape; ``timeout`` is what Prometheus allows, in seconds."""
        started = self.clock.monotonic()
        deadline = self.settings.scrape.deadline
        if timeout is not None:
            deadline = max(min(deadline, timeout - SCRAPE_MARGIN), 0.05)
        reply_format = negotiate(accept, accept_encoding)
        body = self.renderer.render(self.scrape.collect(self.pipeline, self.tasks, deadline), reply_format)
        with self.store.lock:
            self._scrape_duration.observe(self.clock.monotonic() - started)
        return MetricsReply(body, reply_format.content_type, "gzip" if reply_format.gzip else None)

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
        trouble = self.supervisor.trouble()
        checks = []
        for name, label in (("event_stream", "Event stream"), ("queue_discovery", "Queue discovery")):
            if name == "event_stream" or self.settings.queues.discovery_interval:
                bad = trouble.get(name)
                checks.append(Check(label, "failed" if bad else "ok", bad or "connected"))
        targets = {target.name: target.redacted for target in self.settings.redis_targets}
        for name, samples in self.scrape.read(self.settings.scrape.deadline).items():
            reasons = [sample.labels[1] for sample in samples if sample.metric is redis_rows.LAST_SCRAPE_ERROR]
            state = "failed" if any(reasons) else "ok"
            checks.append(Check(f"Redis {name}", state, reasons[0] or targets[name]))
        return checks

    def home(self) -> str:
        """The landing page."""
        return render_home("celery-redis-exporter", __version__, self.settings.web.telemetry_path, self.checks())

    def _build_sources(self) -> None:
        settings, clock = self.settings, self.clock
        broker, *others = settings.redis_targets
        options = settings.broker_transport_options
        self.topic = Topic(
            settings.event_exchange, options.global_keyprefix, options.fanout_prefix, options.fanout_patterns, broker.db
        )
        deadline = settings.scrape.deadline
        event_endpoint = Endpoint(broker.url, timeout=settings.events.idle_timeout, select_db=False)
        self.stream = EventStream(event_endpoint, self.topic, settings.events.idle_timeout)
        keys = self.keys = QueueKeys(
            options.global_keyprefix, options.sep, options.priority_steps, options.unacked_key,
            options.unacked_index_key,
        )  # fmt: skip
        parts: list[Part] = [
            QueuesPart(self.queues, keys, self.store, clock, oldest=settings.queues.oldest_message),
            UnackedPart(keys, options.visibility_timeout, clock),
            BacklogPart(lambda: self.stream.client_id),
        ]
        scrapes = [
            ServerScrape(self._server(broker), broker.db, parts, clock),
            *(ServerScrape(self._server(target), target.db, (), clock) for target in others),
        ]
        self.servers = [scrape.server for scrape in scrapes]
        self.scrape = Scrape(scrapes, self.store, clock, settings.scrape.freshness)
        self.scan = QueueScan(Session(Endpoint(broker.url, timeout=deadline), clock), keys, deadline)
        self.discovery = Discovery(self.scan, self.queues, self.store, clock, settings.event_exchange)

    def _server(self, target: RedisTarget) -> RedisServer:
        endpoint = Endpoint(target.url, timeout=self.settings.scrape.deadline)
        return RedisServer(target.name, Session(endpoint, self.clock))

    def _count_bug(self, name: str) -> None:
        with self.store.lock:
            self.store.scalar(internals.UNEXPECTED_ERRORS, name).value += 1


def task_limits(settings: Settings) -> TaskLimits:
    """The bounds on tasks; each (task, queue) has a series per state, which the limit per metric counts."""
    return TaskLimits(
        tracked=settings.tracking.max_tasks,
        age=settings.tracking.max_age,
        pairs=max(settings.series.max_per_metric // len(STATES), 1),
        idle=settings.series.ttl,
        exceptions=settings.series.exceptions_per_task,
    )


def worker_limits(settings: Settings) -> WorkerLimits:
    """The bounds on workers."""
    workers = settings.workers
    return WorkerLimits(workers.lost_after, tuple(workers.lost_after_by_worker.items()), workers.retention, workers.max)


class Service:
    """The exporter behind its web server, bound and not started; touches neither signals nor the set-up of logs.

    Raises ConfigError when it can't listen where and as the settings say. ``address`` is the HOST:PORT it listens on,
    ``scheme`` http or https.
    """

    def __init__(self, settings: Settings) -> None:
        self.app = App(settings, SystemClock())
        security = settings.web_config
        tls = open_tls(security, self.app.clock)
        listener = bind(settings.web.listen_address)
        app = self.app
        routes = build_app(Handlers(app.metrics, app.healthy, app.ready, app.home), settings.web.telemetry_path)
        self._web = WebServer(listener, guard(routes, security), tls)
        host, port = listener.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.scheme = "https" if tls else "http"

    def start(self) -> None:
        """Start every thread."""
        settings = self.app.settings
        path = settings.web.telemetry_path
        log.info("app.started", version=__version__, scheme=self.scheme, listen=self.address, path=path)
        for target in settings.redis_targets:
            log.info("app.server_configured", redis=target.name, url=target.redacted)
        for note in settings.notes:
            log.warning("app.configuration_noted", note=note)
        self.app.start()
        self._web.start()

    def close(self) -> None:
        """Stop every thread, within twice STOP_SECONDS."""
        log.info("app.stopping")
        left = self.app.close()
        served = self._web.stop(STOP_SECONDS)
        log.info("app.stopped", left_behind=left, requests_cut_off=not served)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; give the exit code. Raises ConfigError."""
    logs.configure(settings.log.level, settings.log.format, secrets=settings.secrets)
    service = Service(settings)
    _stop_on_signals(service.app.stop)
    service.start()
    service.app.stop.wait()
    service.close()
    return 0


def _stop_on_signals(stop: threading.Event) -> None:
    """Stop politely on the first signal, at once on the second."""

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
