# SPDX-License-Identifier: Apache-2.0
"""Lives of queues and of brokers other than Redis."""

from tests.alert_life.agenda import HOUR
from tests.alert_life.exporter_lives import shop
from tests.alert_life.installation import Task
from tests.alert_life.scenario import Life, at_once, ordinary, trouble
from tests.alert_life.worker import Worker

NIGHTLY = Task("shop.statement", "nightly-statements", runtime=4)
LONG_BY_DESIGN = (
    '--queues.length-threshold={"nightly-*": "60000"}',
    '--queues.wait-threshold={"nightly-*": "5h"}',
)


@ordinary(
    5,
    CeleryQueueLong="celery_queue_length > 50",
    CeleryQueueBacklogGrowing="celery_queue_length > 100 and delta(celery_queue_length[15m]) > 50",
    CeleryQueueDrainTimeHigh="sum by (namespace, queue) (celery_queue_length)"
    " / sum by (namespace, queue) (rate(celery_tasks_started_total[10m])) > 1800",
    CeleryQueueOldestMessageOld="celery_queue_oldest_message_age_seconds > 900",
    CeleryTaskWaitHigh="celery:task_wait_seconds:p95_10m > 60",
    CeleryTaskWaitCritical="celery:task_wait_seconds:p95_10m > 600",
    CeleryWorkersSaturated="sum by (namespace) (celery_worker_tasks_active)"
    " / sum by (namespace) (celery_worker_concurrency) > 0.9",
    CeleryTasksForgotten="celery_exporter_tasks_tracked > 10000",
    RedisMemoryWillFill=at_once("predict_linear(redis_memory_used_bytes[1h], 14400) > 1e9"),
)
def batch_at_night(life: Life) -> None:
    """Thirty thousand messages arrive within a quarter of an hour and are processed within two hours."""
    made = life.installation(*LONG_BY_DESIGN)
    made.start(*(Worker(f"celery@batch-{number}", ("nightly-statements",), 16) for number in range(2)))
    made.broker.message_bytes = 14_000
    for number in range(30):
        made.at(1 + number / 120, made.publish, NIGHTLY, 1000)


@ordinary(4, CeleryTaskNearVisibilityTimeout="celery_unacked_messages > 0", CeleryTaskWaitCritical=at_once(
    "time() - celery_task_last_sent_timestamp_seconds > 600"))  # fmt: skip
def reminders_with_an_eta(life: Life) -> None:
    """Reminders are published continuously for two hours, with an eta of twenty-five minutes."""
    made = shop(life)
    made.task(Task("shop.remind", per_hour=lambda now: 30 if now < 2 * HOUR else 0, runtime=2, eta=1500))


@ordinary(4, CeleryBrokerDown=at_once("celery_exporter_broker_up == 0"))
def rabbitmq_is_restarted(life: Life) -> None:
    """RabbitMQ restarts in fifty seconds."""
    made = shop(life)
    made.servers.clear()
    made.exporter.transport = "amqp"
    for hour in (1, 2, 3):
        made.at(hour, made.break_broker)
        made.at(hour + 50 / 3600, lambda: made.break_broker(down=False))


@ordinary(4, CeleryQueueNoConsumers="celery_queue_consumers == 0", CeleryNoWorkersOnline=at_once(
    "sum by (namespace) (increase(celery_tasks_started_total[10m])) == 0"))  # fmt: skip
def quiet_application(life: Life) -> None:
    """Few tasks run, and a queue that is no longer used is still known."""
    made = life.installation('--queues.names=["legacy"]')
    made.start(Worker("celery@web-1"))
    made.task(Task("shop.mail", per_hour=2))


@trouble(2.5, CeleryBrokerDown=(1, 4))
def rabbitmq_is_down(life: Life) -> None:
    """RabbitMQ is down."""
    made = shop(life)
    made.servers.clear()
    made.exporter.transport = "amqp"
    made.at(1, made.break_broker)


@trouble(2.5, CeleryQueueNoConsumers=(1, 8))
def queue_has_another_name(life: Life) -> None:
    """A release publishes to a queue that no worker consumes."""
    made = shop(life)
    made.at(1, lambda: made.task(Task("shop.invoice", "invoice", per_hour=60)))


@trouble(2.5, CeleryQueueStalled=(1, 20), CeleryQueueOldestMessageOld=(1, 25), CeleryQueueLong=(1, 30),
         CeleryQueueBacklogGrowing=(1, 60))  # fmt: skip
def workers_hang(life: Life) -> None:
    """Workers send heartbeats and answer, and take no messages."""
    made = shop(life)
    for number in range(3):
        made.at(1, lambda number=number: made.set(made.workers[f"celery@web-{number}"], hangs=True))


@trouble(3.5, CeleryQueueLong=(1, 15), CeleryQueueBacklogGrowing=(1, 40), CeleryQueueDrainTimeHigh=(1, 40),
         CeleryQueueOldestMessageOld=(1, 30), CeleryTaskWaitHigh=(1, 30), CeleryTaskWaitCritical=(1, 60),
         CeleryWorkersSaturated=(1, 45))  # fmt: skip
def more_arrives_than_is_worked_off(life: Life) -> None:
    """After a campaign three times as many mails arrive as the workers can send."""
    made = life.installation()
    made.start(Worker("celery@web-1"), Worker("celery@web-2"))
    made.task(Task("shop.mail", per_hour=lambda now: 4000 if now > HOUR else 300, runtime=22))


@trouble(4, CeleryTaskNearVisibilityTimeout=(1, 60))
def task_outlives_the_visibility_timeout(life: Life) -> None:
    """A task with acks_late takes longer than the visibility timeout."""
    made = life.installation('--tasks={"shop.train": {"runtime_threshold": "6h"}}')
    made.start(Worker("celery@web-1"))
    made.at(1, lambda: made.publish(Task("shop.train", runtime=4 * HOUR, acks_late=True), 1))


@trouble(4, CeleryTaskNearVisibilityTimeout=(1, 60))
def eta_is_far_away(life: Life) -> None:
    """A message has an eta of ten hours, and is delivered again every hour."""
    made = shop(life)
    made.at(1, lambda: made.publish(Task("shop.remind", eta=10 * HOUR), 1))
