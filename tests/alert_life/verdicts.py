# SPDX-License-Identifier: Apache-2.0
"""Comparison of the report's verdicts with the alerts: the alerts of each verdict, and those without a verdict.

Input: alerts that are active at an instant (pending or firing, because a verdict does not wait), and a verdict. Output:
the states that agree. The minutes before and after an instant count too, because scrapes and evaluations are later than
the events on which a verdict is based.
"""

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.records.report import Health, State
from tests.alert_life.evaluation import ActiveAlerts

SUBJECTS = {
    "Event stream": (
        "CeleryEventStreamDown", "CeleryEventsSilent", "CeleryEventsLost", "CeleryEventBacklogGrowing",
        "CeleryEventsInvalid",
    ),
    "Redis": (
        "RedisDown", "RedisMemoryHigh", "RedisMemoryCritical", "RedisReadOnly", "RedisSentinelDown", "CeleryBrokerDown",
        "RedisConnectionsHigh", "RedisPersistenceFailing", "RedisReplicationBroken", "RedisQuorumLost",
        "RedisClusterDown", "RedisBrokerEvictionPolicy",
    ),
    "Workers": ("CeleryNoWorkersOnline", "CeleryWorkerDown", "CeleryWorkerWithoutTaskEvents", "CeleryWorkerClockSkew"),
    "Queues": (
        "CeleryQueueLong", "CeleryQueueNoConsumers", "CeleryQueueOldestMessageOld", "CeleryTaskNearVisibilityTimeout",
    ),
    "Tasks": (
        "CeleryTaskFailureRateHigh", "CeleryTaskFailureRateCritical", "CeleryTaskFailing", "CeleryBeatDown",
        "CeleryTaskStuck", "CeleryPeriodicTaskStale", "CeleryPeriodicTaskNeverSucceeded",
    ),
}  # fmt: skip
"""The alerts of each verdict."""
HISTORY = "the report remembers ten minutes"
MOMENT = "a moment of it is ordinary: the alert waits long, a verdict does not"
SHOWN = "a report that is shown comes from an exporter that works"
LISTED = "the exporter's own diagnostics are listed on the page beside the verdicts"
NOTE = "an info, no warning"
NOT_JUDGED = {
    **dict.fromkeys(("CeleryWatchdog", "CeleryExporterDown", "CeleryExporterAbsent"), SHOWN),
    **dict.fromkeys((
        "CeleryEventsUnmatched", "CeleryTasksForgotten", "CeleryExporterCollectorFailing",
        "CeleryExporterSeriesLimitHit", "CeleryExporterBug",
    ), LISTED),
    **dict.fromkeys(("CeleryExporterCommandDenied", "CeleryTaskSlowest", "RedisHitRateLow"), NOTE),
    **dict.fromkeys((
        "CeleryWorkerFlapping", "CeleryQueueBacklogGrowing", "CeleryQueueStalled", "CeleryTasksExpired",
        "CeleryTaskKilled", "CeleryFailureRateCritical", "CeleryTaskSlow", "RedisMemoryWillFill", "RedisEvictingKeys",
        "RedisRejectedConnections", "RedisReplicaLost", "RedisRefusesWrites",
    ), HISTORY),
    **dict.fromkeys((
        "CeleryWorkersSaturated", "CeleryQueueDrainTimeHigh", "CeleryTaskRetryStorm", "CeleryTaskWaitHigh",
        "CeleryTaskWaitCritical", "RedisFragmentationHigh", "RedisSwapping", "RedisResultKeysWithoutTTL",
    ), MOMENT),
}  # fmt: skip
"""The alerts without a verdict, with the reason."""
_ALERTS = {alert.name: alert for group in GROUPS for alert in group.alerts}
MAY_DIFFER = {alert.name for alert in _ALERTS.values() if alert.keep} | {
    "CeleryTaskFailureRateHigh", "CeleryTaskFailureRateCritical", "CeleryWorkerDown", "CeleryPeriodicTaskStale",
    "CeleryPeriodicTaskNeverSucceeded",
}  # fmt: skip
"""Alerts that fire for a while after their cause, and those that look back longer than the report.

CeleryWorkerDown also fires for workers that were lost for most of a quarter of an hour and are online now. Prometheus
has successes of periodic tasks from before a restart of the exporter.
"""
BROKER_DOWN = {"RedisDown", "CeleryBrokerDown"}
"""The alerts that fire instead of CeleryEventStreamDown, while a verdict states every consequence."""


def agreeing(subject: str, active: ActiveAlerts, minute: float, near: float) -> set[State]:
    """Return the states that agree with the alerts at a minute, or ``near`` minutes before or after it."""
    found: set[State] = set()
    for at in (minute - near, minute, minute + near):
        names = {labels["alertname"] for labels in active.get(at, ())} & set(SUBJECTS[subject])
        for chosen in (names, names - MAY_DIFFER):
            severities = {_ALERTS[name].severity for name in chosen}
            found.add("critical" if "critical" in severities else "warning" if severities else "ok")
    return found


def disagreement(health: Health, active: ActiveAlerts, minute: float, near: float) -> str:
    """Return the difference between a verdict and the alerts, or "" if they agree or the verdict is unknown."""
    agreed = agreeing(health.subject, active, minute, near)
    names = sorted({labels["alertname"] for at in active for labels in active[at] if abs(at - minute) <= near})
    follows = health.subject == "Event stream" and not BROKER_DOWN.isdisjoint(names)
    if health.state in agreed or (health.state == "unknown" and health.reason) or follows:
        return ""
    return f"{minute:.0f} min: {health.subject} is {health.state} ({health.reason}), alerts: {', '.join(names)}"
