# SPDX-License-Identifier: Apache-2.0
"""Events with hostile names.

Input: numbers of names and workers, and the length of a name. Output: messages of events as Celery publishes them.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from celery_redis_exporter.clock import SystemClock

CHANNEL = "/0.celeryev/task.multi"
AT_ONCE = 300
"""Number of events in a message."""


def failures(names: int, workers: int, length: int) -> Iterator[dict[str, Any]]:
    """Yield events of tasks that fail, each with a different name of ``length`` characters, on ``workers`` workers."""
    now = SystemClock().now()
    for number in range(names):
        name, worker = f"t{number}".ljust(length, "n"), f"w{number % workers}@{'h' * length}"
        event = {"uuid": str(number), "hostname": worker, "timestamp": now}
        if number < workers:
            beat = {"active": 0, "processed": 0, "loadavg": [0, 0, 0], "sw_ident": "py-celery", "sw_ver": "5.6.0"}
            yield {**event, "type": "worker-heartbeat", "pid": 1, "freq": 2.0, **beat}
        yield {**event, "type": "task-sent", "name": name, "queue": f"q{number % 50}", "hostname": "c@h"}
        yield {**event, "type": "task-received", "name": name}
        yield {**event, "type": "task-started"}
        yield {**event, "type": "task-failed", "exception": f"E{number % 30}('x')"}


def messages(events: Iterable[dict[str, Any]]) -> Iterator[tuple[bytes, int]]:
    """Yield the message of each AT_ONCE events, and their number."""
    rest = iter(events)
    while batch := list(islice(rest, AT_ONCE)):
        body = b64encode(json.dumps(batch).encode()).decode()
        message = {"body": body, "content-encoding": "utf-8", "content-type": "application/json", "properties": {}}
        yield json.dumps(message).encode(), len(batch)
