# SPDX-License-Identifier: Apache-2.0
"""Recorded rates of tasks, from which the dashboards show all tasks at once.

Output: recording rules. Those of histograms choose between native and classic ones. A dashboard that reads the buckets
of every task for each point of a graph reads a hundred million samples. Of a recorded rate it reads one sample for each
point and bucket.
"""

from celery_redis_exporter.alerts import histograms
from celery_redis_exporter.alerts.rule import BY, Recording, once

BY_TASK = f"{BY}, task, queue"
WINDOW = "5m"
HISTOGRAMS = ("celery_task_runtime_seconds", "celery_task_wait_seconds")


def recorded_rate(name: str) -> str:
    """Return the name under which the rate of a counter is recorded."""
    return f"{name.removesuffix('_total').replace('_', ':', 1)}:rate{WINDOW}"


def _recordings(histogram: str) -> tuple[Recording, ...]:
    """Record a histogram. Its ``_bucket`` is one native histogram without the label le if Prometheus has that."""
    return (
        Recording(recorded_rate(f"{histogram}_bucket"), histograms.buckets(histogram, BY_TASK, WINDOW)),
        Recording(recorded_rate(f"{histogram}_sum"), histograms.total(histogram, BY_TASK, WINDOW)),
        Recording(recorded_rate(f"{histogram}_count"), histograms.count(histogram, BY_TASK, "rate", WINDOW)),
    )


RECORDINGS = (
    Recording(recorded_rate("celery_tasks_total"), once(f"rate(celery_tasks_total[{WINDOW}])", f"{BY_TASK}, state")),
    *(recording for histogram in HISTOGRAMS for recording in _recordings(histogram)),
)
"""How outcomes, runtimes and waits grow in a second; those of a pair of exporters once."""
