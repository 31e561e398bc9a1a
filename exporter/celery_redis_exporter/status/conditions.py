# SPDX-License-Identifier: Apache-2.0
"""Conditions of alerts that follow from the values of one moment, for the verdicts of the report.

Input: numbers, the time and the time since the start. Output: the names that a condition holds for. Limits and
severities are those of the alerts, which state the same in PromQL and wait some minutes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from celery_redis_exporter.alerts.thresholds import role_of, threshold
from celery_redis_exporter.catalog import CATALOG, internals, queues, tasks, workers
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.status.numbers import Numbers


class Moment(NamedTuple):
    """The values of one moment. ``now`` is in epoch seconds, ``uptime`` in seconds."""

    numbers: Numbers
    now: float
    uptime: float


class Condition(NamedTuple):
    """A condition: the subject that it concerns, its alert, a reason for people, and the names that it holds for."""

    subject: str
    alert: str
    reason: str
    names: Callable[[Moment], Iterator[str]]


def _zero(*names: str) -> Callable[[Moment], Iterator[str]]:
    """Return a function that yields the servers of which one of these metrics is 0."""

    def found(moment: Moment) -> Iterator[str]:
        zeros = (labels[0] for name in names for labels, value in moment.numbers.values(CATALOG[name]) if value == 0)
        yield from dict.fromkeys(zeros)

    return found


def _few_connections_left(moment: Moment) -> Iterator[str]:
    numbers, limit = moment.numbers, threshold("RedisConnectionsHigh", "ratio")
    most = numbers.by(CATALOG["redis_config_maxclients"])
    for server, clients in numbers.by(CATALOG["redis_connected_clients"]).items():
        if most.get(server) and clients / most[server] > limit:
            yield server


def _evicting_brokers(moment: Moment) -> Iterator[str]:
    for labels, _ in moment.numbers.values(redis_rows.INSTANCE_INFO):
        found: Mapping[str, str] = dict(zip(redis_rows.INSTANCE_INFO.label_names, labels, strict=True))
        if role_of(found["redis"]) == "broker" and found["maxmemory_policy"] not in {"noeviction", ""}:
            yield found["maxmemory_policy"]


def _broken_clusters(moment: Moment) -> Iterator[str]:
    enabled = moment.numbers.by(CATALOG["redis_cluster_enabled"])
    yield from (server for server in _zero("redis_cluster_state")(moment) if enabled.get(server) == 1)


def _silent_beat(moment: Moment) -> Iterator[str]:
    beats = moment.numbers.values(workers.BEAT_UP)
    if beats and not any(value for _, value in beats):
        yield "no scheduler ticks"


def _near_visibility_timeout(moment: Moment) -> Iterator[str]:
    if moment.numbers.one(queues.UNACKED_OVERDUE):
        return  # They are past it, which is another reason.
    age, timeout = (moment.numbers.one(each) for each in (queues.UNACKED_OLDEST_AGE, queues.VISIBILITY_TIMEOUT))
    if age is not None and timeout and age > threshold("CeleryTaskNearVisibilityTimeout", "ratio") * timeout:
        yield f"the oldest for {age:.0f} s"


def _stuck(moment: Moment) -> Iterator[str]:
    if not moment.numbers.one(internals.STREAM_UP):
        return  # Their ends are not received.
    own = moment.numbers.by(tasks.TASK_RUNTIME_THRESHOLD)
    for task, since in moment.numbers.by(tasks.TASK_OLDEST_STARTED).items():
        if moment.now - since > max(threshold("CeleryTaskStuck", "seconds"), own.get(task, 0)):
            yield task


def _periodic(moment: Moment) -> Iterator[tuple[str, float, float | None]]:
    """Yield periodic tasks: name, the longest time without a success, and the last success if there was one."""
    last = moment.numbers.by(tasks.TASK_LAST_SUCCESS)
    for task, interval in moment.numbers.by(tasks.TASK_EXPECTED_INTERVAL).items():
        yield task, threshold("CeleryPeriodicTaskStale", "intervals") * interval, last.get(task) or None


def _stale(moment: Moment) -> Iterator[str]:
    yield from (task for task, longest, last in _periodic(moment) if last and moment.now - last > longest)


def _never_succeeded(moment: Moment) -> Iterator[str]:
    yield from (task for task, longest, last in _periodic(moment) if last is None and moment.uptime > longest)


SAVES = ("redis_rdb_last_bgsave_status", "redis_aof_last_write_status", "redis_aof_last_bgrewrite_status")
CONDITIONS = (
    Condition("Redis", "RedisConnectionsHigh", "hardly any connections left", _few_connections_left),
    Condition("Redis", "RedisPersistenceFailing", "can't save their data", _zero(*SAVES)),
    Condition("Redis", "RedisReplicationBroken", "lost their master", _zero("redis_master_link_up")),
    Condition("Redis", "RedisQuorumLost", "find no quorum", _zero("redis_sentinel_master_ckquorum_status")),
    Condition("Redis", "RedisClusterDown", "the cluster is down, by", _broken_clusters),
    Condition("Redis", "RedisBrokerEvictionPolicy", "the broker may evict tasks", _evicting_brokers),
    Condition(
        "Queues",
        "CeleryTaskNearVisibilityTimeout",
        "unacknowledged near the visibility timeout",
        _near_visibility_timeout,
    ),
    Condition("Tasks", "CeleryBeatDown", "beat is down", _silent_beat),
    Condition("Tasks", "CeleryTaskStuck", "do not end", _stuck),
    Condition("Tasks", "CeleryPeriodicTaskStale", "have not succeeded for several intervals", _stale),
    Condition("Tasks", "CeleryPeriodicTaskNeverSucceeded", "have never succeeded", _never_succeeded),
)
