# SPDX-License-Identifier: Apache-2.0
"""Rules about queues: the broker down; long, growing, standing, without consumers; messages delivered twice."""

from celery_redis_exporter.alerts.celery_workers import LENGTH, OWN_LENGTH
from celery_redis_exporter.alerts.rule import BY, Alert, RuleGroup, once

CONSUMERS = "max by (@{by}, queue) (celery_queue_consumers)"
OWN_WAIT = "max by (@{by}, queue) (celery_queue_wait_threshold_seconds)"


def _above(value: str, own: str, parameter: str) -> str:
    """Return whether a value of a queue is above the queue's own threshold, or above a parameter if it has none."""
    return f"({value} > {own} or ({value} > @{{{parameter}}} unless {own}))"


OLDEST = "max by (@{by}, queue) (celery_queue_oldest_message_age_seconds)"
DRAIN_TIME = f"{LENGTH} / on ({BY}, queue) ({once('rate(celery_tasks_started_total[10m])', f'{BY}, queue')} > 0)"
FREE = (
    "max by (@{by}, queue) (max by (@{by}, worker, queue) (celery_worker_queue_info) * on (@{by}, worker) group_left ()"
    " (max by (@{by}, worker) (celery_worker_concurrency)"
    " > bool max by (@{by}, worker) (celery_worker_tasks_active)))"
)
"""Whether a worker of the queue has a free process; absent where no worker reports it."""

ALERTS = (
    Alert(
        "CeleryBrokerDown", "critical",
        "max by (@{by}, transport) (celery_exporter_broker_up) == 0",
        "The broker does not answer.",
        "The broker ({{ $labels.transport }}) does not answer the exporter; celery_exporter_broker_last_scrape_error"
        " names the reason.",
        wait="1m",
    ),
    Alert(
        "CeleryQueueLong", "warning",
        _above(LENGTH, OWN_LENGTH, "messages"),
        "Many messages wait in a queue.",
        "{{ $value | humanize }} messages wait in {{ $labels.queue }}.",
        wait="10m", parameters={"messages": 50}, panel="celery-queues",
    ),
    Alert(
        "CeleryQueueNoConsumers", "critical",
        f"{LENGTH} > 0 and on ({BY}, queue) {CONSUMERS} == 0"
        ' and on (@{by}) max by (@{by}) (celery_workers{state="online"}) > 0',
        "No worker consumes a queue that contains messages.",
        "Messages waiting in {{ $labels.queue }}, which no worker consumes: {{ $value | humanize }}.",
        wait="5m", panel="celery-queues",
    ),
    Alert(
        "CeleryQueueBacklogGrowing", "warning",
        f"{_above(LENGTH, OWN_LENGTH, 'messages')}"
        " and max by (@{by}, queue) (delta(celery_queue_length[15m])) > @{growth}",
        "A queue grows faster than its messages are processed.",
        "{{ $value | humanize }} messages wait in {{ $labels.queue }}, more and more of them.",
        wait="15m", parameters={"messages": 100, "growth": 50}, panel="celery-queues",
    ),
    Alert(
        "CeleryQueueStalled", "critical",
        "max by (@{by}, queue) (min_over_time(celery_queue_length[10m])) > 0"
        f" and on ({BY}, queue) {CONSUMERS} > 0"
        " and on (@{by}, queue)"
        " sum by (@{by}, queue) (increase(celery_tasks_started_total[10m])) == 0"
        f" unless on ({BY}, queue) {FREE} == 0",
        "A queue has consumers and does not move.",
        "At least {{ $value | humanize }} messages wait in {{ $labels.queue }}, and none was started for 10 minutes."
        " Not all processes of its workers are known to be busy.",
        wait="5m", panel="celery-queues",
    ),
    Alert(
        "CeleryQueueDrainTimeHigh", "warning",
        _above(DRAIN_TIME, OWN_WAIT, "seconds"),
        "A queue will take long to drain.",
        "At the present rate {{ $labels.queue }} is empty in {{ $value | humanizeDuration }}.",
        wait="15m", parameters={"seconds": 1800}, panel="celery-queues",
    ),
    Alert(
        "CeleryQueueOldestMessageOld", "warning",
        _above(OLDEST, OWN_WAIT, "seconds"),
        "A message has been waiting for long.",
        "The next message of {{ $labels.queue }} has been waiting for {{ $value | humanizeDuration }}.",
        wait="5m", parameters={"seconds": 900}, panel="celery-queues",
    ),
    Alert(
        "CeleryTaskNearVisibilityTimeout", "warning",
        "max by (@{by}) (celery_unacked_oldest_age_seconds)"
        " > @{ratio} * max by (@{by}) (celery_broker_visibility_timeout_seconds)",
        "A message will be delivered a second time while it is processed.",
        "The oldest unacknowledged message was delivered {{ $value | humanizeDuration }} ago: it runs long, or its eta"
        " is far away. After the visibility timeout Redis delivers it to another worker.",
        # A message with a far eta is delivered again and again: without this the alert would come and go each time.
        wait="1m", keep="1h", parameters={"ratio": 0.8}, panel="celery-queues",
    ),
)  # fmt: skip

GROUP = RuleGroup("celery-queues", (), ALERTS)
