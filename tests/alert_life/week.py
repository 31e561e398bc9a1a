# SPDX-License-Identifier: Apache-2.0
"""A week of a healthy installation of medium size, Monday to Sunday, with its routine operations."""

import math

from tests.alert_life.agenda import DAY, HOUR
from tests.alert_life.installation import Installation, Task
from tests.alert_life.scenario import Life, Naive, Scenario
from tests.alert_life.servers import MEBIBYTE, RedisServer
from tests.alert_life.worker import Worker

HOURS = 168.0
EVALUATION = "5m"
FLEET = {
    "web": ("default", "mail"), "payments": ("payments",), "images": ("images",), "reports": ("reports",),
    "batch": ("nightly", "reports"),
}  # fmt: skip
PODS = {"web": 4, "payments": 2, "images": 2, "reports": 2, "batch": 2}
QUEUES = ("default", "mail", "payments", "images", "reports")
SETTINGS = (
    '--queues.length-threshold={"nightly": "20000"}',
    '--queues.wait-threshold={"nightly": "4h"}',
    '--tasks={"shop.reports_*": {"runtime_threshold": "20m"}, "shop.statement": {"runtime_threshold": "5m"}}',
)
DEPLOYED_AT, BATCH_AT, FAILOVER_AT, EXPORTER_AT = 15, 2, 3 * 24 + 10.3, 2 * 24 + 11.7
"""Hours of the day of deployments and of the batch; hours of the week of the failover and the exporter's restart."""


def office_hours(per_hour: float) -> "OfficeHours":
    """Return rates that rise in the morning, fall in the evening, and are low at night and on weekends."""
    return OfficeHours(per_hour)


class OfficeHours:
    """Executions per hour at each second of the week."""

    def __init__(self, most: float) -> None:
        self.most = most

    def __call__(self, now: float) -> float:
        """Return executions per hour."""
        hour = now % DAY / HOUR
        share = max(math.sin((hour - 6) / 14 * math.pi), 0.0) if 6 <= hour < 20 else 0.0
        return self.most * max(share * (0.3 if now >= 5 * DAY else 1.0), 0.05)


def tasks() -> list[Task]:
    """Return the tasks: 31 that arrive at a rate, and eight that beat sends."""
    arriving = [
        Task(
            f"shop.{queue}_{number}",
            queue,
            per_hour=office_hours(40.0 / number if queue != "reports" else 3.0),
            runtime=240 if queue == "reports" else 1.5 * number,
            fails=0.004 if number % 2 else 0.0,
            retried=0.01 * number,
            retry_after=45,
        )
        for queue in QUEUES
        for number in range(1, 8 if queue == "default" else 7)
    ]
    periodic = [
        Task(f"shop.periodic_{every:.0f}", "default", every=every, runtime=4)
        for every in (300.0, 600.0, 900.0, 1800.0, HOUR, 4 * HOUR, 12 * HOUR, DAY)
    ]
    return [*arriving, *periodic]


STATEMENT = Task("shop.statement", "nightly", runtime=3)


def live(life: Life) -> None:
    """Forty tasks, 12 workers, 6 queues and 2 Redis servers: batches, deployments, a failover, a restart."""
    made = life.installation(*SETTINGS)
    for name, pods in PODS.items():
        made.start(*(Worker(f"celery@{name}-{pod}", FLEET[name], concurrency=4) for pod in range(pods)))
    made.set(made, beat_ticks=True)
    for task in tasks():
        made.task(task)
    daily = lambda now: (180 + 60 * math.sin(now / DAY * 2 * math.pi)) * MEBIBYTE  # noqa: E731 -- a course
    results = RedisServer("results", daily, 512 * MEBIBYTE, keys=lambda now: 20_000 + 5000 * math.sin(now / DAY))
    made.add_server(results)
    for day in range(7):
        made.at(day * 24 + BATCH_AT, made.publish, STATEMENT, 6000)
        if day < 5:
            _deploy(made, day * 24 + DEPLOYED_AT)
    made.at(EXPORTER_AT, made.restart_exporter, 90)
    made.at(FAILOVER_AT, made.break_broker)
    made.at(FAILOVER_AT + 40 / 3600, lambda: made.break_broker(down=False))


def _deploy(made: Installation, hour: float) -> None:
    """Deploy beat first, then the workers, each with a new name."""
    made.at(hour, lambda: made.set(made, beat_ticks=False))
    made.at(hour + 1 / 60, lambda: made.set(made, beat_ticks=True))
    made.at(hour + 2 / 60, lambda: made.deploy(new_names=True))


NAIVE_RULES = {
    "CeleryQueueLong": Naive("celery_queue_length > 50"),
    "CeleryTaskWaitHigh": Naive(
        "histogram_quantile(0.95, sum by (namespace, queue, le) (rate(celery_task_wait_seconds_bucket[10m]))) > 60"
    ),
}
"""Naive rules that fire in this week, which shows that the week contains conditions that could page."""
WEEK = Scenario("week", live.__doc__ or "", HOURS, live, NAIVE_RULES)
