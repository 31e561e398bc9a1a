"""For your Celery application, to import where it is made: what the exporter would otherwise have to ask workers for.

    import celery_events

Workers then tell their queues and their concurrency in every heartbeat, and every message carries the time of its
publishing. Needs Celery 5.3 or later and nothing else; runs in workers and publishers, never in the exporter.
"""

import time
from typing import Any

from celery.signals import before_task_publish, heartbeat_sent, worker_ready
from celery.worker.state import SOFTWARE_INFO  # what Celery adds to its worker events

_consumers: list[Any] = []


@worker_ready.connect
def remember_consumer(sender: Any, **_: Any) -> None:
    """Keep the worker's consumer, which knows what it consumes now."""
    _consumers[:] = [sender]
    describe_worker()


@heartbeat_sent.connect
def describe_worker(**_: Any) -> None:
    """Bring queues and concurrency up to date, before each heartbeat."""
    for consumer in _consumers:
        if consumer.task_consumer:
            SOFTWARE_INFO["queues"] = sorted(queue.name for queue in consumer.task_consumer.queues)
        SOFTWARE_INFO["concurrency"] = consumer.pool.num_processes


@before_task_publish.connect
def stamp_message(headers: dict[str, Any], **_: Any) -> None:
    """Put the time of publishing into the message; a retry is a new publishing."""
    headers["published_at"] = time.time()
