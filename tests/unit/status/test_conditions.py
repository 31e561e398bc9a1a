# SPDX-License-Identifier: Apache-2.0
"""Conditions of alerts that the report evaluates from the current values."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from celery_redis_exporter.catalog import CATALOG, internals, queues, tasks, workers
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.status.conditions import CONDITIONS, Moment
from celery_redis_exporter.status.numbers import Numbers

NOW, UPTIME = 100_000.0, 3600.0


def sample(name: str, value: float, *labels: str) -> Sample:
    """Return a sample; missing labels are those of the first ones, or empty."""
    metric = CATALOG[name]
    return Sample(metric, (*labels, *[""] * (len(metric.label_names) - len(labels))), value)


def holds(alert: str, samples: Sequence[Sample]) -> list[str]:
    """Return the names for which an alert's condition holds."""
    (condition,) = (condition for condition in CONDITIONS if condition.alert == alert)
    return list(condition.names(Moment(Numbers((), samples), NOW, UPTIME)))


@pytest.mark.parametrize(
    ("alert", "name", "good", "bad"),
    [
        ("RedisPersistenceFailing", "redis_rdb_last_bgsave_status", 1, 0),
        ("RedisReplicationBroken", "redis_master_link_up", 1, 0),
        ("RedisQuorumLost", "redis_sentinel_master_ckquorum_status", 1, 0),
    ],
)
def test_a_status_of_0_is_named(alert: str, name: str, good: float, bad: float) -> None:
    """A server whose status is 0 is named, one whose status is 1 or unknown is not."""
    assert ["results"] == holds(alert, [sample(name, bad, "results"), sample(name, good, "broker")])
    assert [] == holds(alert, [])


def test_connections() -> None:
    """More than 80 % of maxclients are too many; a server without a limit never has too many."""
    most = sample("redis_config_maxclients", 100, "broker")
    assert ["broker"] == holds("RedisConnectionsHigh", [sample("redis_connected_clients", 81, "broker"), most])
    assert [] == holds("RedisConnectionsHigh", [sample("redis_connected_clients", 80, "broker"), most])
    assert [] == holds("RedisConnectionsHigh", [sample("redis_connected_clients", 80, "broker")])


def test_clusters() -> None:
    """A node in cluster mode reports that the cluster is down; other servers have no cluster."""
    down = sample("redis_cluster_state", 0, "node")
    assert ["node"] == holds("RedisClusterDown", [down, sample("redis_cluster_enabled", 1, "node")])
    assert [] == holds("RedisClusterDown", [down, sample("redis_cluster_enabled", 0, "node")])


def test_beat() -> None:
    """Beat is down if no scheduler ticks, and not if none ever reported."""
    silent, ticking = Sample(workers.BEAT_UP, ("beat@a",), 0), Sample(workers.BEAT_UP, ("beat@b",), 1)
    assert [1, 0, 0] == [len(holds("CeleryBeatDown", each)) for each in ([silent], [silent, ticking], [])]


def test_unacknowledged_messages() -> None:
    """A message is named from 80 % of the visibility timeout until the timeout is over."""
    timeout = Sample(queues.VISIBILITY_TIMEOUT, (), 3600)
    near = [Sample(queues.UNACKED_OLDEST_AGE, (), 2900), timeout]
    assert ["the oldest for 2900 s"] == holds("CeleryTaskNearVisibilityTimeout", near)
    assert [] == holds("CeleryTaskNearVisibilityTimeout", [*near, Sample(queues.UNACKED_OVERDUE, (), 1)])
    assert [] == holds("CeleryTaskNearVisibilityTimeout", [Sample(queues.UNACKED_OLDEST_AGE, (), 2800), timeout])


def test_long_executions() -> None:
    """An execution of more than an hour is reported, unless its task may take longer or no events arrive."""
    old = [Sample(tasks.TASK_OLDEST_STARTED, ("render",), NOW - 3700), Sample(internals.STREAM_UP, (), 1)]
    assert ["render"] == holds("CeleryTaskStuck", old)
    assert [] == holds("CeleryTaskStuck", [*old, Sample(tasks.TASK_RUNTIME_THRESHOLD, ("render",), 7200)])
    assert [] == holds("CeleryTaskStuck", [old[0], Sample(internals.STREAM_UP, (), 0)])


def test_periodic_tasks() -> None:
    """A task without a success for three intervals is named, and so is one that never succeeded in three."""
    expected = Sample(tasks.TASK_EXPECTED_INTERVAL, ("sync",), 300)
    last = Sample(tasks.TASK_LAST_SUCCESS, ("sync",), NOW - 901)
    assert ["sync"] == holds("CeleryPeriodicTaskStale", [expected, last])
    assert ["sync"] == holds("CeleryPeriodicTaskNeverSucceeded", [expected])
    assert [] == holds("CeleryPeriodicTaskNeverSucceeded", [expected, last])
    assert [] == holds("CeleryPeriodicTaskNeverSucceeded", [replace(expected, value=1300)])
