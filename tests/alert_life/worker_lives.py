# SPDX-License-Identifier: Apache-2.0
"""Lives of workers and of beat."""

from tests.alert_life.exporter_lives import shop
from tests.alert_life.installation import Task
from tests.alert_life.scenario import Life, at_once, ordinary, trouble
from tests.alert_life.worker import Worker

NIGHT = 2.0
"""The hour at which the night begins."""
SYNC = '--tasks={"shop.sync": {"expected_interval": "5m"}}'


@ordinary(
    6,
    CeleryNoWorkersOnline='celery_workers{state="online"} == 0',
    CeleryQueueNoConsumers="celery_queue_consumers == 0",
    CeleryWorkerWithoutTaskEvents="celery_worker_up unless celery_worker_task_events_enabled",
)
def scaled_to_zero_at_night(life: Life) -> None:
    """Workers are scaled to zero in the evening, and pods with new names start in the morning before the first task."""
    made = life.installation()
    made.scale(4)
    made.task(Task("shop.mail", per_hour=lambda now: 300 if now < NIGHT * 3600 or now > 5.2 * 3600 else 0, runtime=3))
    made.at(NIGHT + 0.05, made.scale, 0)
    made.at(4.8, made.scale, 4)


@ordinary(
    5,
    CeleryWorkerDown="celery_worker_up == 0",
    CeleryWorkerFlapping="sum by (namespace) (increase(celery_worker_starts_total[30m])) > 4",
)
def autoscaled_pods(life: Life) -> None:
    """An autoscaler adds and removes pods continuously, and the machines of some pods disappear."""
    made = life.installation()
    made.scale(4)
    made.task(Task("shop.mail", per_hour=900, runtime=10))
    for turn in range(8):
        made.at(0.5 + turn / 2, made.scale, 6 if turn % 2 else 4)
    for hour in (1.2, 2.3, 3.4):
        made.at(hour, lambda: made.kill(next(iter(made.workers))))
        made.at(hour + 0.02, lambda: made.scale(len(made.workers) + 1))


@ordinary(
    5,
    CeleryWorkerFlapping=at_once("increase(celery_worker_starts_total[30m]) > 2"),
    CeleryQueueNoConsumers=at_once("celery_queue_length > 0 and on (namespace, queue) celery_queue_consumers == 0"),
    CeleryQueueStalled=at_once("celery_queue_length > 0 unless on (namespace, queue) celery_queue_consumers > 0"),
)
def rolling_deployments(life: Life) -> None:
    """Three deployments within half an hour, each of which stops the only worker of one queue for two minutes."""
    made = shop(life)
    made.start(Worker("celery@invoices", ("invoices",)))
    made.task(Task("shop.invoice", "invoices", per_hour=200, runtime=4))
    for hour in (2.0, 2.2, 2.4):
        made.at(hour, lambda: made.deploy("celery@web"))
        made.at(hour + 0.05, made.stop, "celery@invoices")
        made.at(hour + 0.09, lambda: made.start(Worker("celery@invoices", ("invoices",))))


@ordinary(3.5, CeleryWorkerClockSkew="abs(celery_worker_clock_skew_seconds) > 1")
def clocks_differ_a_little(life: Life) -> None:
    """The clocks of virtual machines differ by some seconds."""
    made = shop(life)
    made.at(0.1, lambda: made.start(Worker("celery@vm-1", skew=6.0), Worker("celery@vm-2", skew=-9.0)))


@ordinary(4, CeleryBeatDown=at_once("celery_beat_up == 0"), CeleryPeriodicTaskStale=at_once(
    "time() - celery_task_last_success_timestamp_seconds > 1.5 * celery_task_expected_interval_seconds"))  # fmt: skip
def beat_is_redeployed(life: Life) -> None:
    """Beat is restarted and sends tasks again after two minutes, so that one run of its tasks is skipped."""
    made = shop(life, SYNC)
    made.set(made, beat_ticks=True)
    made.task(Task("shop.sync", every=300, runtime=5))
    for hour in (1.07, 2.07, 3.07):
        made.at(hour, lambda: made.set(made, beat_ticks=False))
        made.at(hour + 2.2 / 60, lambda: made.set(made, beat_ticks=True))


@ordinary(
    5,
    CeleryWorkersSaturated="celery_worker_tasks_active / celery_worker_concurrency > 0.9",
    CeleryTaskStuck="time() - celery_task_oldest_started_timestamp_seconds > 3600",
    CeleryTaskSlow="celery:task_runtime_seconds:mean10m > 60",
    CeleryTaskSlowest="celery:task_runtime_seconds:p95_15m > 300",
    CeleryTaskNearVisibilityTimeout="celery_unacked_oldest_age_seconds > 600",
    CeleryQueueStalled="celery_queue_length > 0 and on (namespace, queue)"
    " sum by (namespace, queue) (increase(celery_tasks_started_total[10m])) == 0",
)
def tasks_that_run_for_hours(life: Life) -> None:
    """Renderings take two hours and all processes, one waits for them, and exports with acks_late take 25 minutes."""
    settings = '--tasks={"shop.render": {"runtime_threshold": "3h"}, "shop.export": {"runtime_threshold": "1h"}}'
    made = life.installation(
        settings, '--queues.wait-threshold={"render": "3h"}', '--queues.length-threshold={"render": "3"}'
    )
    made.start(Worker("celery@render", ("render",), 2), Worker("celery@web"))
    made.at(0.05, lambda: made.publish(Task("shop.render", "render", runtime=7000), 2))
    made.at(0.5, lambda: made.publish(Task("shop.render", "render", runtime=4000), 1))
    made.task(Task("shop.export", per_hour=4, runtime=1500, acks_late=True))


@trouble(2.5, CeleryNoWorkersOnline=(1, 8))
def all_workers_are_killed(life: Life) -> None:
    """All workers are killed at once."""
    made = shop(life)
    for number in range(3):
        made.at(1, made.kill, f"celery@web-{number}")


@trouble(2.5, CeleryNoWorkersOnline=(1, 18))
def workers_are_not_started_again(life: Life) -> None:
    """A deployment stops all workers and starts none."""
    made = shop(life)
    made.at(1, made.scale, 0)


@trouble(2.5, CeleryWorkerDown=(1, 8))
def one_worker_is_killed(life: Life) -> None:
    """One of three workers is killed, and nothing takes its place."""
    made = shop(life)
    made.at(1, made.kill, "celery@web-1")


@trouble(3.5, CeleryWorkerDown=(1, 30))
def worker_is_lost_most_of_the_time(life: Life) -> None:
    """Heartbeats of a worker on a bad network arrive in one minute of five."""
    made = shop(life)
    for number in range(24):
        start = 1 + number * 5 / 60
        made.at(
            start, lambda: made.set(made.workers["celery@web-1"], beats=False, reports=False, answers=False, hangs=True)
        )
        made.at(
            start + 4 / 60,
            lambda: made.set(made.workers["celery@web-1"], beats=True, reports=True, answers=True, hangs=False),
        )


@trouble(2.5, CeleryWorkerFlapping=(1, 20))
def worker_crashes_at_start(life: Life) -> None:
    """A worker ends two minutes after each of its starts, and its supervisor starts it again."""
    made = shop(life)
    for number in range(20):
        made.at(1 + number / 20, made.restart, "celery@web-1")


@trouble(2.5, CeleryWorkersSaturated=(1, 40), CeleryQueueLong=(1, 40), CeleryTaskWaitHigh=(1, 40),
         CeleryQueueOldestMessageOld=(1, 60), CeleryQueueBacklogGrowing=(1, 60), CeleryTaskWaitCritical=(1, 60),
         CeleryQueueDrainTimeHigh=(1, 60))  # fmt: skip
def one_queue_is_saturated(life: Life) -> None:
    """Twice as many invoices arrive as their worker can handle, while the other workers idle."""
    made = shop(life)
    made.start(Worker("celery@invoices", ("invoices",), 2))
    made.task(Task("shop.invoice", "invoices", per_hour=lambda now: 600 if now > 3600 else 60, runtime=24))


@trouble(2.5, CeleryWorkerWithoutTaskEvents=(1, 14))
def worker_runs_without_events(life: Life) -> None:
    """A new worker is started without -E."""
    made = shop(life)
    made.at(1, lambda: made.start(Worker("celery@new", reports=False)))


@trouble(2.5, CeleryWorkerClockSkew=(1, 13), CeleryTaskWaitHigh=(1, 20))
def clock_is_wrong(life: Life) -> None:
    """A worker starts on a machine whose clock is two minutes ahead."""
    made = shop(life)
    made.at(1, lambda: made.start(Worker("celery@vm", skew=120)))


@trouble(3, CeleryBeatDown=(1, 5), CeleryPeriodicTaskStale=(1, 22))
def beat_dies(life: Life) -> None:
    """Beat, which sends heartbeats by deploy/celery_events.py, dies."""
    made = shop(life)
    made.set(made, beat_ticks=True)
    made.task(Task("shop.sync", every=300, runtime=5))
    made.at(1, lambda: made.set(made, beat_ticks=False))


@trouble(3, CeleryPeriodicTaskStale=(1, 22))
def beat_that_reports_nothing_dies(life: Life) -> None:
    """Beat reports nothing, and the settings know how often its task runs."""
    made = shop(life, SYNC)
    made.set(made, beat_ticks=True, beat_reports=False)
    made.task(Task("shop.sync", every=300, runtime=5))
    made.at(1, lambda: made.set(made, beat_ticks=False))
