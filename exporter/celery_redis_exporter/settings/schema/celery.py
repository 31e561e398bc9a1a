# SPDX-License-Identifier: Apache-2.0
"""Define settings of the Celery application: events, queries to workers, and the bounds of what is kept of it."""

from pydantic import Field

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.values import SettingsGroup


class EventOptions(SettingsGroup):
    """The event stream."""

    idle_timeout: v.PositiveSeconds = Field(10, description="Silence after which the connection is tested.")
    exemplars: bool = Field(default=True, description="Attach task ids as exemplars in OpenMetrics.")
    queue_ttl: v.PositiveSeconds = Field(
        60, description="On RabbitMQ: time for which events wait for an exporter that does not keep up."
    )
    queue_max_length: v.Count = Field(
        100_000, description="On RabbitMQ: events that may wait for it; the oldest go beyond that."
    )


class CeleryOptions(SettingsGroup):
    """Control commands to workers, the only thing that writes to the broker."""

    inspect_interval: v.Interval = Field(60, description="Time between control commands to workers; 0 disables them.")
    inspect_timeout: v.Patience = Field(5, description="Time for their answers; up to 50 workers are queried at once.")
    inspect_max_bytes: v.Count = Field(4_194_304, description="Largest answer that is read; larger ones are skipped.")
    enable_events: bool = Field(
        default=False, description="Send enable_events to workers without task events, at most once a minute."
    )


class QueueOptions(SettingsGroup):
    """Queues read from the broker."""

    names: v.NameList = Field((), description="Queues to show from the start, besides those found.")
    discovery_interval: v.Seconds = Field(60, description="Time between searches for queues; 0 turns them off.")
    discovery_max_keys: v.Count = Field(200_000, description="Keys that one search reads.")
    oldest_message: bool = Field(default=True, description="Read the age of each queue's oldest message.")
    length_threshold: v.CountByPattern = Field(
        default_factory=dict,
        description="Messages that may wait before alerts fire, by queue name pattern, as in nightly-*=100000; the "
        "first that fits counts.",
    )
    wait_threshold: v.SecondsByPattern = Field(
        default_factory=dict,
        description="Time that messages may wait before alerts fire, by queue name pattern, as in nightly-*=3h; the "
        "first that fits counts.",
    )
    max: v.Count = Field(1000, description="Queues shown; further ones are counted as dropped.")


class WorkerOptions(SettingsGroup):
    """Workers known from their events."""

    lost_after: v.PositiveSeconds = Field(30, description="Silence after which a worker counts as lost.")
    lost_after_by_worker: v.SecondsByPattern = Field(
        default_factory=dict, description="The same by worker name pattern, as in solo@*=10m."
    )
    retention: v.Seconds = Field(3600, description="Time for which a lost or stopped worker is remembered.")
    max: v.Count = Field(10_000, description="Workers shown; further ones are counted as dropped.")


class SeriesOptions(SettingsGroup):
    """Bounds of the series in memory."""

    max_per_metric: v.Count = Field(
        20_000, description="Series per metric, and per metric of each server; the rest is folded into __overflow__."
    )
    max_bytes: v.Bytes = Field(
        8 * 1024 * 1024,
        description="Text of all series of events in a response, such as 8MiB; the rest is folded into __overflow__.",
    )
    ttl: v.PositiveSeconds = Field(
        86_400,
        description="Time without an event after which a task's series are removed; a queue is removed after this time "
        "without event, message, binding and consumer, unless queues.names contains it.",
    )
    exceptions_per_task: v.Count = Field(50, description="Exception classes shown per task.")
    zero_first: v.Seconds = Field(
        30, description="Time for which a new counter is shown as 0; at least the scrape interval; 0 for none."
    )


class TrackingOptions(SettingsGroup):
    """Tasks in flight, kept to match their events."""

    max_tasks: v.Count = Field(150_000, description="Tasks tracked; each takes about 700 bytes.")
    max_age: v.PositiveSeconds = Field(172_800, description="Time after which an unfinished task is forgotten.")
