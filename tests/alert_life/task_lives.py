# SPDX-License-Identifier: Apache-2.0
"""Lives of tasks: failures, retries, times, schedules."""

from tests.alert_life.agenda import DAY, HOUR
from tests.alert_life.exporter_lives import shop
from tests.alert_life.installation import Task, one_in
from tests.alert_life.scenario import Life, at_once, ordinary, trouble
from tests.alert_life.worker import Worker

FAILED, ENDED = 'rate(celery_tasks_total{state="failure"}[10m])', "rate(celery_tasks_total[10m])"
SHARE = f"sum by (namespace, task) ({FAILED}) / sum by (namespace, task) ({ENDED})"


@ordinary(
    8,
    CeleryTaskFailureRateHigh=f"{SHARE} > 0.05",
    CeleryTaskFailureRateCritical=f"{SHARE} > 0.1",
    CeleryFailureRateCritical=f"sum by (namespace) ({FAILED}) / sum by (namespace) ({ENDED}) > 0.1",
    CeleryTaskFailing="celery_task_last_failure_timestamp_seconds > celery_task_last_success_timestamp_seconds",
    CeleryTaskKilled=at_once('increase(celery_task_exceptions_total{exception="WorkerLostError"}[30m]) > 0'),
    CeleryTasksExpired=at_once("increase(celery_task_revocations_total[1h]) > 0"),
)
def failures_that_happen(life: Life) -> None:
    """2 % of executions and half of a rare task's fail, one runs out of memory, and some are revoked."""
    made = life.installation()
    made.start(Worker("celery@web-1"), Worker("celery@web-2"))
    made.task(Task("shop.mail", per_hour=lambda now: 150 if now < 3 * HOUR else 12, runtime=3, fails=0.02))
    made.task(Task("shop.import", per_hour=3, runtime=20, fails=one_in(2, since=0)))
    made.task(Task("shop.resize", per_hour=4, runtime=20, fails=0.2, fails_with="WorkerLostError"))
    made.task(Task("shop.search", per_hour=20, runtime=20, terminated=0.1))


@ordinary(3.5, CeleryTaskRetryStorm='rate(celery_tasks_total{state="retry"}[10m])'
          " / on (namespace, task) rate(celery_tasks_started_total[10m]) > 0.5")  # fmt: skip
def chords_are_polled(life: Life) -> None:
    """Celery polls the end of chords by retries once a second, and some mails are retried."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.task(Task("celery.chord_unlock", per_hour=40, runtime=0.1, retried=0.95, retry_after=1.0))
    made.task(Task("shop.mail", per_hour=200, runtime=2, retried=0.2, retry_after=30))


@ordinary(30, CeleryTaskStuck="time() - celery_task_last_success_timestamp_seconds > 4 * 3600")
def five_tasks_a_day(life: Life) -> None:
    """A small application with five executions a day, each of which takes six minutes."""
    made = life.installation('--tasks={"*": {"runtime_threshold": "30m"}}')
    made.start(Worker("celery@web-1"))
    made.set(made, beat_ticks=True, beat_reports=False)
    made.task(Task("shop.report", every=DAY / 5, runtime=400))


@ordinary(
    200,
    CeleryPeriodicTaskStale="time() - celery_task_last_success_timestamp_seconds > 2 * 86400",
    CeleryPeriodicTaskNeverSucceeded="celery_task_expected_interval_seconds"
    " unless on (namespace, task) celery_task_last_success_timestamp_seconds",
    CeleryBeatDown="time() - celery_task_last_sent_timestamp_seconds > 2 * 86400",
)
def weekly_task(life: Life) -> None:
    """A task runs twice a week, another one was added yesterday; the exporter is restarted twice."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.set(made, beat_ticks=True)
    made.task(Task("shop.cleanup", every=3 * DAY, runtime=30))
    made.at(30, lambda: made.task(Task("shop.statistics", every=DAY, runtime=30)))
    for day in (1, 7):
        made.at(24 * day + 7, made.restart_exporter)


@ordinary(
    7,
    CeleryTaskSlow="celery:task_runtime_seconds:mean10m > 60",
    CeleryTaskSlowest="celery:task_runtime_seconds:p95_15m > 300",
)
def slow_tasks_without_thresholds(life: Life) -> None:
    """Reports take five minutes, imports take two to twelve, and no setting has their thresholds."""
    made = life.installation()
    made.start(*(Worker(f"celery@web-{number}", concurrency=16) for number in range(4)))
    made.task(Task("shop.report", per_hour=120, runtime=300))
    made.task(Task("shop.import", per_hour=20, runtime=lambda now: 120 if now % 600 < 300 else 720))


@trouble(4, CeleryTaskFailureRateHigh=(1, 60))
def a_few_percent_fail(life: Life) -> None:
    """Six or seven in a hundred of many executions fail since a release."""
    made = life.installation()
    made.start(Worker("celery@web-1"), Worker("celery@web-2"))
    made.task(Task("shop.mail", per_hour=3600, runtime=1, fails=lambda now: 0.065 if now > HOUR else 0.005))


@trouble(4, CeleryTaskFailureRateHigh=(1, 60), CeleryTaskFailureRateCritical=(1, 60), CeleryFailureRateCritical=(1, 60))
def one_in_eight_of_85_an_hour_fails(life: Life) -> None:
    """A task runs 85 times an hour, and every eighth execution fails since a release."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.task(Task("shop.pay", per_hour=85, runtime=2, fails=one_in(8, since=HOUR)))


@trouble(8, CeleryTaskFailureRateCritical=(1, 60 * 5.5), CeleryFailureRateCritical=(1, 60 * 5.5))
def one_in_three_of_ten_an_hour_fails(life: Life) -> None:
    """A task runs ten times an hour, and every third execution fails since a release."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.task(Task("shop.pay", per_hour=10, runtime=2, fails=one_in(3, since=HOUR)))


@trouble(40, CeleryTaskFailing=(10, 60 * 16))
def five_a_day_all_fail(life: Life) -> None:
    """A task runs five times a day and fails each time since a release; the third failure pages."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.set(made, beat_ticks=True, beat_reports=False)
    made.task(Task("shop.report", every=DAY / 5, runtime=20, fails=lambda now: float(now > 10 * HOUR)))


@trouble(8, CeleryTaskFailing=(1, 120))
def rare_task_always_fails(life: Life) -> None:
    """A task that runs three times an hour fails each time."""
    made = shop(life)
    made.task(Task("shop.import", per_hour=3, runtime=20, fails=lambda now: float(now > HOUR)))


@trouble(3.5, CeleryFailureRateCritical=(1, 60), CeleryTaskFailing=(1, 160))
def database_is_gone(life: Life) -> None:
    """Fourteen tasks, each of which runs three times an hour, fail."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    for number in range(14):
        made.task(Task(f"shop.job_{number}", per_hour=3, runtime=5, fails=lambda now: float(now > HOUR)))


@trouble(3.5, CeleryTaskRetryStorm=(1, 30))
def partner_is_gone(life: Life) -> None:
    """A partner's server is away, and deliveries are retried every minute."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    retried = lambda now: 0.9 if now > HOUR else 0.02  # noqa: E731 -- a course
    made.task(Task("shop.deliver", per_hour=60, runtime=1, retried=retried, retry_after=60))


@trouble(5.5, CeleryTaskSlow=(3, 40))
def task_becomes_slow(life: Life) -> None:
    """A task takes ninety seconds where it took five, since an index is gone."""
    made = life.installation()
    made.start(Worker("celery@web-1"), Worker("celery@web-2"))
    made.task(Task("shop.search", per_hour=60, runtime=lambda now: 90 if now > 3 * HOUR else 5))


@trouble(6, CeleryTaskSlow=(3, 40), CeleryTaskSlowest=(3, 60))
def task_becomes_very_slow(life: Life) -> None:
    """A task takes eight minutes where it took five seconds; there are processes enough."""
    made = life.installation()
    made.start(*(Worker(f"celery@web-{number}", concurrency=16) for number in range(4)))
    made.task(Task("shop.search", per_hour=120, runtime=lambda now: 480 if now > 3 * HOUR else 5))


@trouble(4, CeleryTaskStuck=(1, 66))
def task_hangs(life: Life) -> None:
    """An execution waits for an answer without a timeout."""
    made = shop(life)
    made.at(1, lambda: made.publish(Task("shop.fetch", runtime=20 * HOUR), 1))


@trouble(3.5, CeleryTasksExpired=(1, 50), CeleryQueueLong=(1, 60), CeleryWorkersSaturated=(1, 60),
         CeleryTaskWaitHigh=(1, 60), CeleryQueueBacklogGrowing=(1, 60))  # fmt: skip
def tasks_expire(life: Life) -> None:
    """Messages that expire after five minutes arrive faster than they are worked off."""
    made = life.installation()
    made.start(Worker("celery@web-1", concurrency=2))
    made.task(Task("shop.quote", per_hour=lambda now: 2400 if now > HOUR else 100, runtime=4, expires=300))


@trouble(3.5, CeleryTaskKilled=(1, 40), CeleryTaskFailing=(1, 40), CeleryTaskFailureRateCritical=(1, 120))
def out_of_memory(life: Life) -> None:
    """All executions of a task are killed because they use too much memory."""
    made = shop(life)
    fails = lambda now: float(now > HOUR)  # noqa: E731 -- a course
    made.task(Task("shop.resize", per_hour=15, runtime=20, fails=fails, fails_with="WorkerLostError"))


@trouble(3.5, CeleryTaskKilled=(1, 60), CeleryTaskFailureRateCritical=(1, 60), CeleryTaskFailureRateHigh=(1, 60))
def time_limit_ends_a_third(life: Life) -> None:
    """A third of the executions of a task reach its time limit."""
    made = life.installation()
    made.start(Worker("celery@web-1", concurrency=16))
    made.task(Task("shop.quick", per_hour=900, runtime=1))
    fails = lambda now: 0.33 if now > HOUR else 0.0  # noqa: E731 -- a course
    made.task(Task("shop.crawl", per_hour=60, runtime=40, fails=fails, fails_with="TimeLimitExceeded"))


@trouble(101, CeleryPeriodicTaskStale=(24, 60 * 75))
def daily_task_fails_while_the_exporter_is_restarted_daily(life: Life) -> None:
    """A daily task fails since the second day, and the exporter is restarted every day."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.set(made, beat_ticks=True)
    made.task(Task("shop.report", every=DAY, runtime=30, fails=lambda now: float(now > 25 * HOUR)))
    for day in range(5):
        made.at(24 * day + 7, made.restart_exporter)


@trouble(101, CeleryPeriodicTaskNeverSucceeded=(1, 60 * 75))
def daily_task_never_succeeds(life: Life) -> None:
    """A new daily task has failed from the beginning, and the exporter is restarted every day."""
    made = life.installation()
    made.start(Worker("celery@web-1"))
    made.set(made, beat_ticks=True)
    made.at(1, lambda: made.task(Task("shop.report", every=DAY, runtime=30, fails=1.0)))
    for day in range(5):
        made.at(24 * day + 7, made.restart_exporter)
