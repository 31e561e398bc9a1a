"""Queue metrics, read from the broker during a scrape."""

from exporter.catalog.labels import PRIORITY, QUEUE
from exporter.catalog.metric import Command, Metric, Own, gauge

QUEUE_LENGTH = gauge(
    "celery_queue_length",
    "Messages waiting in the queue, all priorities together; 0 for a known queue that is empty.",
    (QUEUE,),
    Command("LLEN"),
)
QUEUE_PRIORITY_LENGTH = gauge(
    "celery_queue_priority_length",
    "Messages waiting in the queue by priority step; only for queues that have used a step other than 0.",
    (QUEUE, PRIORITY),
    Command("LLEN"),
)
QUEUE_OLDEST_AGE = gauge(
    "celery_queue_oldest_message_age_seconds",
    "Age of the next message to be served: since its task-sent, else since it was first seen there (a lower bound).",
    (QUEUE,),
    Command("LINDEX"),
)
UNACKED = gauge(
    "celery_unacked_messages",
    "Messages delivered to workers and not acknowledged: prefetched, waiting for their eta, running with acks_late.",
    (),
    Command("HLEN unacked"),
)
UNACKED_OLDEST_AGE = gauge(
    "celery_unacked_oldest_age_seconds",
    "Time since the delivery of the longest unacknowledged message; 0 when there is none.",
    (),
    Command("ZRANGE unacked_index"),
)
UNACKED_OVERDUE = gauge(
    "celery_unacked_overdue_messages",
    "Unacknowledged messages past the visibility timeout: about to be delivered, and run, a second time.",
    (),
    Command("ZCOUNT unacked_index"),
)
VISIBILITY_TIMEOUT = gauge(
    "celery_broker_visibility_timeout_seconds",
    "Visibility timeout that overdue messages are measured against.",
    (),
    Own("settings: broker_transport_options.visibility_timeout"),
)
REPLY_QUEUES = gauge(
    "celery_reply_queues",
    "Reply queues of control commands (*.reply.celery.pidbox) at the last full pass; orphans pile up here.",
    (),
    Command("SCAN"),
)

METRICS: tuple[Metric, ...] = (
    QUEUE_LENGTH, QUEUE_PRIORITY_LENGTH, QUEUE_OLDEST_AGE, UNACKED, UNACKED_OLDEST_AGE, UNACKED_OVERDUE,
    VISIBILITY_TIMEOUT, REPLY_QUEUES,
)  # fmt: skip
