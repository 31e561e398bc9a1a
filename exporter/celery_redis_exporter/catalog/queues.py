# SPDX-License-Identifier: Apache-2.0
"""Define queue metrics. They are read from the broker during a scrape, or derived from workers' reports."""

from celery_redis_exporter.catalog.labels import PRIORITY, QUEUE
from celery_redis_exporter.catalog.metric import CommandOrigin, Inspect, Metric, Own, gauge
from celery_redis_exporter.catalog.workers import SNIPPET

QUEUE_LENGTH = gauge(
    "celery_queue_length",
    "Messages waiting in the queue, all priorities together; 0 for a known queue that is empty. On RabbitMQ those that "
    "are ready, without those that workers hold; absent for a queue that is not there.",
    (QUEUE,),
    CommandOrigin("LLEN; on RabbitMQ queue.declare (passive)"),
)
QUEUE_SCHEDULED = gauge(
    "celery_queue_scheduled_messages",
    "Messages that RabbitMQ holds back for a later time (native delayed delivery of quorum queues), by the queue of "
    "the delay, celery_delayed_0 to celery_delayed_27. Shown once a task-sent event was published there, or where "
    "queues.names has its celery_delayed_27.",
    (QUEUE,),
    CommandOrigin("queue.declare (passive)"),
)
QUEUE_PRIORITY_LENGTH = gauge(
    "celery_queue_priority_length",
    "Messages waiting in the queue by priority step; only for queues that have used a step other than 0.",
    (QUEUE, PRIORITY),
    CommandOrigin("LLEN"),
)
QUEUE_OLDEST_AGE = gauge(
    "celery_queue_oldest_message_age_seconds",
    "Age of the next message to be served: since its publishing as its header (deploy/celery_events.py) or its "
    "task-sent states, else since it was first seen there (a lower bound).",
    (QUEUE,),
    CommandOrigin("LINDEX"),
)
QUEUE_LENGTH_THRESHOLD = gauge(
    "celery_queue_length_threshold",
    "Messages that may wait in the queue before the alerts call it long: from the settings (queues.length_threshold); "
    "absent where none fits.",
    (QUEUE,),
    Own("settings"),
)
QUEUE_WAIT_THRESHOLD = gauge(
    "celery_queue_wait_threshold_seconds",
    "How long messages may wait in the queue before the alerts report it: from the settings (queues.wait_threshold); "
    "absent where none fits.",
    (QUEUE,),
    Own("settings"),
)
QUEUE_CONSUMERS = gauge(
    "celery_queue_consumers",
    "Online workers that consume the queue, as far as they reported it; 0 only where every online worker reported its "
    "queues. On RabbitMQ the consumers that the broker itself counts, one for each worker.",
    (QUEUE,),
    Inspect("active_queues", SNIPPET),
)
QUEUE_CONCURRENCY = gauge(
    "celery_queue_concurrency",
    "Tasks that the queue's consumers can run at once, which they share with their other queues; absent while one of "
    "them did not report its own.",
    (QUEUE,),
    Inspect("stats", SNIPPET),
)
UNACKED = gauge(
    "celery_unacked_messages",
    "Messages delivered to workers and not acknowledged: prefetched, waiting for their eta, running with acks_late.",
    (),
    CommandOrigin("HLEN unacked"),
)
UNACKED_OLDEST_AGE = gauge(
    "celery_unacked_oldest_age_seconds",
    "Time since the delivery of the longest unacknowledged message; 0 when there is none.",
    (),
    CommandOrigin("ZRANGE unacked_index"),
)
UNACKED_OVERDUE = gauge(
    "celery_unacked_overdue_messages",
    "Unacknowledged messages past the visibility timeout: about to be delivered, and run, a second time.",
    (),
    CommandOrigin("ZCOUNT unacked_index"),
)
VISIBILITY_TIMEOUT = gauge(
    "celery_broker_visibility_timeout_seconds",
    "Visibility timeout that overdue messages are measured against: the shortest that workers report, if not set here.",
    (),
    Own("settings: broker_transport_options.visibility_timeout, or inspect conf"),
)
REPLY_QUEUES = gauge(
    "celery_reply_queues",
    "Reply queues of control commands (*.reply.celery.pidbox) at the last full pass; orphans pile up here.",
    (),
    CommandOrigin("SCAN"),
)

METRICS: tuple[Metric, ...] = (
    QUEUE_LENGTH, QUEUE_SCHEDULED, QUEUE_PRIORITY_LENGTH, QUEUE_OLDEST_AGE, QUEUE_LENGTH_THRESHOLD,
    QUEUE_WAIT_THRESHOLD, QUEUE_CONSUMERS, QUEUE_CONCURRENCY,
    UNACKED, UNACKED_OLDEST_AGE, UNACKED_OVERDUE, VISIBILITY_TIMEOUT, REPLY_QUEUES,
)  # fmt: skip
