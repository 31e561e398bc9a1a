# SPDX-License-Identifier: Apache-2.0
"""Build everything of one Celery application: its state, its broker, and the loops that connect both.

Input: settings, endpoints of the servers, a clock. Output: families of its metrics. Parts are built before the objects
that use them, and nothing is attached to an object after its constructor returned.
"""

import threading
from functools import partial

from celery_redis_exporter.brokers.broker import build_broker
from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.catalog import CATALOG, Metric
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.catalog.queues import QUEUE_CONSUMERS, QUEUE_LENGTH
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.control import Control
from celery_redis_exporter.collectors.events import EventCollector, EventState
from celery_redis_exporter.collectors.redbeat import Schedules
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.records.report import Activity, Failure
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.settings import Settings, named_redis_targets
from celery_redis_exporter.sources.redbeat import RedBeat
from celery_redis_exporter.state.activity import describe_activity
from celery_redis_exporter.state.beats import Beats
from celery_redis_exporter.state.consumers import Consumers
from celery_redis_exporter.state.control import Inspection
from celery_redis_exporter.state.names import Names
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.runs import Runs
from celery_redis_exporter.state.saved_state import LastingState
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.tasks import Tasks
from celery_redis_exporter.state.tracking import Tracking
from celery_redis_exporter.state.workers import Workers

EVENT_METRICS = tuple(metric for metric in CATALOG.values() if metric not in redis_rows.METRICS)
"""The metrics that are counted in memory. The others are read during a scrape."""


def new_store(settings: Settings, clock: Clock) -> Store:
    """Return an empty store of series for these settings."""
    series = settings.series
    return Store(EVENT_METRICS, series.max_per_metric, settings.buckets, options.new_series(settings, clock))


class Application:
    """One Celery application, built and not started. Raises ConfigError if its broker can't be used.

    ``store`` receives its series, by default a new one.
    """

    def __init__(self, settings: Settings, endpoints: Endpoints, clock: Clock, store: Store | None = None) -> None:
        self.settings = settings
        self.store = store or new_store(settings, clock)
        limits = options.task_limits(settings)
        names, runs = Names(self.store, limits), Runs(self.store, Tracking(limits.tracked))
        self.workers = Workers(self.store, clock, options.worker_limits(settings), runs, names.forget_worker)
        self.tasks = Tasks(self.store, self.workers, names, limits)
        refuse = partial(self.store.refuse, QUEUE_LENGTH)
        wanted, thresholds = settings.queues, options.queue_thresholds(settings)
        self.queues = Queues(self.tasks, wanted.names, wanted.max, refuse, settings.series.ttl, thresholds)
        self.lasting = LastingState(self.store, self.tasks, self.workers, self.queues, clock)
        self.transport = options.transport(settings)
        self.broker = build_broker(settings, endpoints, self.queues, self.transport, self.store, clock)
        elsewhere = (QUEUE_CONSUMERS,) if self.broker.counts_consumers else ()
        consumers = Consumers(self.store, self.workers, self.queues, clock, settings.workers.lost_after, elsewhere)
        beats = Beats(self.store, clock, settings.workers.retention, names.expectations)
        state = EventState(self.store, self.tasks, self.workers, consumers, beats)
        self.events = EventCollector(self.broker.stream, self.broker.decode, state, clock)
        self.inspection = Inspection(self.workers, self.tasks, clock, beats, self.transport)
        control_options = options.control_options(settings)
        self.control = Control(self.broker.control_client, self.inspection, self.store, clock, control_options)
        self.schedules = self._build_schedules(endpoints, clock) if settings.redbeat.interval else None

    def start(self, supervisor: Supervisor, stop: threading.Event) -> None:
        """Start a thread for each loop, which runs until ``stop`` is set."""
        settings, discovery = self.settings, self.broker.discovery
        supervisor.start("event_stream", partial(self.events.run, stop))
        if self.searches_queues and discovery is not None:
            interval, max_keys = settings.queues.discovery_interval, settings.queues.discovery_max_keys
            supervisor.start("queue_discovery", partial(discovery.run, stop, interval, max_keys))
        if self.queries_workers:
            supervisor.start("control", partial(self.control.run, stop))
        if self.schedules is not None:
            supervisor.start("redbeat", partial(self.schedules.run, stop, settings.redbeat.interval))

    def close(self) -> None:
        """Close every connection that no scrape uses. Thread-safe."""
        self.broker.close()
        self.control.close()
        if self.schedules is not None:
            self.schedules.close()

    @property
    def searches_queues(self) -> bool:
        """Return True if queues are searched for in the background."""
        return bool(self.settings.queues.discovery_interval) and self.broker.discovery is not None

    @property
    def queries_workers(self) -> bool:
        """Return True if control commands are sent to workers."""
        return options.control_options(self.settings).is_needed

    def families(self, *, whole: bool = False, only: frozenset[Metric] | None = None) -> list[Family]:
        """Return the current families of the metrics that events feed.

        ``whole`` and ``only`` are those of ``Store.collect``.
        """
        with self.store.lock:
            self.events.tick_locked()
            self.tasks.refresh()
            families = self.store.collect(whole=whole, only=only)
            merging = self.workers.merging
            return merging.merge(families) if merging.needed else families

    def failures(self) -> list[Failure] | None:
        """Return the last failures, the newest first, or None if none are kept."""
        with self.store.lock:
            return self.tasks.failures.newest()

    def activity(self) -> Activity:
        """Return what workers execute at this moment, and how many of their executions failed or were retried."""
        with self.store.lock:
            workers, tasks = self.workers.by_name.values(), self.tasks
            return describe_activity(workers, tasks.naming, tasks.names.hidden.task)

    def _build_schedules(self, endpoints: Endpoints, clock: Clock) -> Schedules:
        settings = self.settings
        wanted, deadline = settings.redbeat, settings.scrape.deadline
        target = next(target for target in named_redis_targets(settings) if target.name == wanted.server)
        session = endpoints.session(target, timeout=deadline)
        redbeat = RedBeat(session, wanted.key_prefix, wanted.max, deadline)
        return Schedules(redbeat, self.tasks.names.expectations, self.store, clock)
