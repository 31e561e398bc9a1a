# SPDX-License-Identifier: Apache-2.0
"""Build the options of each package from the settings."""

import re
from hashlib import sha256

from celery_redis_exporter.catalog import NATIVE, Metric, redis_core, redis_server
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.cluster_nodes import ClusterNodesOptions
from celery_redis_exporter.collectors.control import ControlOptions
from celery_redis_exporter.collectors.key_sweep import MOST_SECONDS, KeyBudget
from celery_redis_exporter.collectors.memory_guard import GuardOptions
from celery_redis_exporter.collectors.saved_state import StateOwner
from celery_redis_exporter.records.static_labels import StaticLabels
from celery_redis_exporter.settings import RedisTarget, Settings
from celery_redis_exporter.settings.schema.names import NameOptions
from celery_redis_exporter.settings.schema.patterns import read_replacement
from celery_redis_exporter.state.expectations import Plan
from celery_redis_exporter.state.queues import QueueThresholds
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from celery_redis_exporter.state.series import NewSeries
from celery_redis_exporter.state.task_series import STATES
from celery_redis_exporter.state.tracking import TaskLimits
from celery_redis_exporter.state.transport import KombuOptions, Transport
from celery_redis_exporter.state.worker import WorkerLimits


def task_limits(settings: Settings) -> TaskLimits:
    """Return the limits of tasks. Each (task, queue) has a series per state, which the limit per metric counts."""
    return TaskLimits(
        tracked=settings.tracking.max_tasks,
        age=settings.tracking.max_age,
        pairs=max(settings.series.max_per_metric // len(STATES), 1),
        idle=settings.series.ttl,
        exceptions=settings.series.exceptions_per_task,
        failures=settings.status.failures,
        naming=naming(settings),
        plans={
            name: Plan(options.expected_interval, options.runtime_threshold, options.buckets)
            for name, options in settings.tasks.items()
        },
        exemplars=settings.events.exemplars,
        by_shadow=settings.names.by_shadow,
    )


def queue_thresholds(settings: Settings) -> QueueThresholds:
    """Return the thresholds of queues, by pattern."""
    queues = settings.queues
    return QueueThresholds(tuple(queues.length_threshold.items()), tuple(queues.wait_threshold.items()))


def control_options(settings: Settings) -> ControlOptions:
    """Return the options of control commands."""
    celery = settings.celery
    return ControlOptions(
        celery.inspect_interval, celery.inspect_timeout, celery.inspect_max_bytes, enable_events=celery.enable_events
    )


def transport(settings: Settings) -> Transport:
    """Return the transport options until workers report theirs. Those that the user set are never replaced."""
    own = settings.broker_transport_options
    return Transport(KombuOptions(own.visibility_timeout, own.sep, own.priority_steps), frozenset(own.model_fields_set))


def worker_limits(settings: Settings) -> WorkerLimits:
    """Return the limits of workers, and the rules for their names."""
    workers = settings.workers
    patterns = tuple(workers.lost_after_by_worker.items())
    return WorkerLimits(workers.lost_after, patterns, workers.retention, workers.max, naming(settings))


def naming(settings: Settings) -> Naming:
    """Return the rules for the names of tasks, queues and workers."""
    names = settings.names
    return Naming(
        _rules(names.task), _rules(names.queue), _rules(names.worker), worker_label=settings.metrics.worker_label
    )


def new_series(settings: Settings, clock: Clock) -> NewSeries:
    """Return the options of new series."""
    by_worker: frozenset[Metric] = task_rows.BY_WORKER if settings.metrics.worker_label else frozenset()
    series = settings.series
    labels = static_labels(settings)
    native = NATIVE if settings.metrics.native_histograms else frozenset[Metric]()
    return NewSeries(clock, series.zero_first, settings.events.exemplars, labels, by_worker, series.max_bytes, native)


def static_labels(settings: Settings) -> StaticLabels:
    """Return the labels that every series has. The name of the application is the last of them.

    Series of the process lack it, and a label can be missing only at the end: see ``exposition.text``.
    """
    return StaticLabels({**settings.metrics.labels, **application_label(settings)})


def application_label(settings: Settings) -> dict[str, str]:
    """Return the label of the application's series, which is in its log lines too, or none if it has no name."""
    return {"application": settings.application} if settings.application else {}


def dropped_metrics(settings: Settings) -> set[str]:
    """Return the metrics that are not shown: those of ``metrics.drop``, and those that ``redis.metrics`` excludes."""
    left_out = {"full": (), "core": redis_core.BEYOND, "off": redis_server.METRICS}[settings.redis.metrics]
    return {*settings.metrics.drop, *(metric.name for metric in left_out)}


def topology_options(settings: Settings) -> ClusterNodesOptions:
    """Return the options of the search for cluster nodes."""
    wanted = settings.redis
    return ClusterNodesOptions(wanted.discovery_interval, wanted.max_nodes, settings.scrape.deadline)


def guard_options(settings: Settings) -> GuardOptions:
    """Return the options of MEMORY PURGE."""
    redis, guard = settings.redis, settings.redis.memory_guard
    return GuardOptions(
        guard.threshold, redis.assumed_maxmemory, guard.check_interval, guard.pause, settings.scrape.deadline
    )


def key_budget(settings: Settings) -> KeyBudget:
    """Return the limits of one pass over the keys of a server."""
    wanted = settings.redis.key_space
    return KeyBudget(wanted.max_keys, wanted.max_measured, wanted.max_busy, wanted.duty, MOST_SECONDS)


def state_owner(settings: Settings) -> StateOwner:
    """Return the owner of a state file, as hashes: of the application's events, and of the rules for shown names.

    User, password and other secrets are not part of it.
    """
    broker = settings.broker
    if isinstance(broker, RedisTarget):
        place = f"{broker.sentinels or broker.server_key} {broker.db} {settings.broker_transport_options.master_name}"
    else:
        place = broker.redacted.replace("***@", "")
    events = f"{place} {settings.broker_transport_options.global_keyprefix} {settings.event_exchange}"
    names = f"{settings.names.model_dump_json()} {settings.metrics.worker_label}"
    return StateOwner(_digest(events), _digest(names), settings.series.ttl)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _rules(options: NameOptions) -> NameRules:
    rewrites = []
    for text, replacement in options.rewrite.items():
        pattern = re.compile(text)
        rewrites.append(Rewrite(pattern, read_replacement(pattern, replacement)))
    return NameRules([re.compile(text) for text in options.include], [re.compile(t) for t in options.exclude], rewrites)
