# SPDX-License-Identifier: Apache-2.0
"""Recorded rates of tasks, from which the dashboards show all tasks at once.

Output: recording rules. A dashboard that reads the buckets of every task for each point of a graph reads
a hundred million samples; of a recorded rate it reads one sample for each point and bucket.
"""

from celery_redis_exporter.alerts.rule import BY, Recording, once

BY_TASK = f"{BY}, task, queue"
WINDOW = "5m"
HISTOGRAMS = ("celery_task_runtime_seconds", "celery_task_wait_seconds")


def recorded_rate(name: str) -> str:
    """Return the name under which the rate of a counter is recorded."""
    return f"{name.removesuffix('_total').replace('_', ':', 1)}:rate{WINDOW}"


def _recording(name: str, by: str) -> Recording:
    return Recording(recorded_rate(name), once(f"rate({name}[{WINDOW}])", by))


RECORDINGS = (
    _recording("celery_tasks_total", f"{BY_TASK}, state"),
    *(
        _recording(f"{histogram}{suffix}", f"{BY_TASK}, le" if suffix == "_bucket" else BY_TASK)
        for histogram in HISTOGRAMS
        for suffix in ("_bucket", "_sum", "_count")
    ),
)
"""How outcomes, runtimes and waits grow in a second; those of a pair of exporters once."""
