# SPDX-License-Identifier: Apache-2.0
"""Rules about tasks: failures, retries, times, periodic tasks."""

from typing import NamedTuple

from celery_redis_exporter.alerts import histograms, task_rates
from celery_redis_exporter.alerts.celery_queues import OWN_WAIT
from celery_redis_exporter.alerts.celery_workers import HEARING
from celery_redis_exporter.alerts.rule import BY, Alert, Recording, RuleGroup, once

BY_TASK = f"{BY}, task, queue"
# celery.chord_unlock polls for the end of a chord: it is retried until all parts have ended.
RETRIES = '{state="retry", task!="celery.chord_unlock"}'

RETRIED = once(f"increase(celery_tasks_total{RETRIES}[10m])", BY_TASK)

WINDOWS = {"10m": 600, "15m": 900, "30m": 1800, "6h": 21_600}
"""Windows of failure ratios, in seconds. The longer ones are for tasks of which too few end in the shorter ones."""
MOST_USUAL, PRIOR = 0.05, 20
"""The share that fails of a task without a past, and the executions that this assumption counts as."""


class _Names(NamedTuple):
    """The beginnings of the recordings of a failure ratio, and of what ended."""

    ratio: str
    completed: str

    def ended(self, window: str) -> str:
        """Return how many executions ended in a window."""
        return f"{self.completed}:rate{window} * {WINDOWS[window]}"

    def failed(self, window: str) -> str:
        """Return how many executions failed in a window."""
        return f"{self.ratio}:rate{window} * {self.ended(window)}"


OF_TASK = _Names("celery:task_failure_ratio", "celery:tasks_completed")
OF_ALL = _Names("celery:failure_ratio", "celery:completed")


def _fails_often(names: _Names) -> str:
    """Return whether a recorded ratio is too high, in the shortest window in which enough executions ended.

    A few failures are chance: of 25 executions of a task that fails in 2 % two fail once in twelve times.
    """
    arms, before = [], ""
    for window in ("10m", "30m"):
        enough = f"{names.ended(window)} >= @{{least_executions}}"
        failures = f"{names.failed(window)} > @{{least_failures}} - 0.5"
        arms.append(f"({names.ratio}:rate{window} > @{{ratio}} and {failures} and {enough}{before})")
        before += f" unless {enough}"
    return " or ".join(arms)


def _fails_more_than_usual(names: _Names) -> str:
    """Return whether a recorded ratio is too high, and more fail than chance explains.

    If a task usually fails in a share u, n executions have n * u failures with a standard deviation of sqrt(n * u).
    More than four deviations above are hardly ever chance, while a task that hardly fails gets there with three or four
    failures. 30 minutes count unless plenty end in 15, six hours while the task still fails.
    """
    many = f"{names.ended('15m')} >= 2 * @{{least_executions}}"
    still = f"{names.ratio}:rate30m > 0.5 * @{{ratio}}"
    conditions = {
        "15m": f"{names.ended('15m')} >= @{{least_executions}}",
        "30m": f"{names.ended('30m')} >= @{{least_executions}} unless {many}",
        "6h": f"{names.ended('6h')} >= 3 * @{{least_executions}} and {still}",
    }
    return " or ".join(
        f"({names.ratio}:rate{window} > @{{ratio}} and {names.failed(window)} > @{{least_failures}} - 0.5"
        f" and {names.failed(window)} > {_by_chance(names, window)} + 1 and {condition})"
        for window, condition in conditions.items()
    )


def _by_chance(names: _Names, window: str) -> str:
    usual = f"{names.ended(window)} * {names.ratio}:usual"
    return f"{usual} + @{{deviations}} * sqrt({usual})"


def _ratios(window: str) -> tuple[Recording, ...]:
    """Return the recordings of what ended and what share of it failed, by task, and of all tasks together."""
    ended = once(f'rate(celery_tasks_total{{state=~"success|failure"}}[{window}])', BY_TASK)
    failed = once(f'rate(celery_tasks_total{{state="failure"}}[{window}])', BY_TASK)
    by_task, completed = (f"{name}:rate{window}" for name in OF_TASK)
    all_ratio, all_completed = (f"{name}:rate{window}" for name in OF_ALL)
    return (
        Recording(completed, ended),
        Recording(by_task, f"{failed} / ({completed} > 0)"),
        Recording(all_completed, f"sum by ({BY}) ({completed})"),
        Recording(all_ratio, f"sum by ({BY}) ({by_task} * {completed}) / ({all_completed} > 0)"),
    )


def _long_ratios(names: _Names) -> tuple[Recording, ...]:
    """Return the recordings over six hours, and of the usual share, from half hours that are recorded.

    The usual share is that of the day before the last hour. With few executions it is near MOST_USUAL, and never above:
    a task that fails in 12 % for days is no healthy one.
    """
    failed, ended = f"({names.ratio}:rate30m * {names.completed}:rate30m)", f"{names.completed}:rate30m"
    day, six_hours = "[1d:30m] offset 1h", "[6h:30m]"
    completed = f"{names.completed}:rate6h"
    usual = (
        f"(sum_over_time({failed}{day}) * 1800 + {MOST_USUAL * PRIOR:g})"
        f" / (sum_over_time({ended}{day}) * 1800 + {PRIOR})"
    )
    return (
        Recording(completed, f"sum_over_time({ended}{six_hours}) / 12"),
        Recording(f"{names.ratio}:rate6h", f"sum_over_time({failed}{six_hours}) / 12 / ({completed} > 0)"),
        Recording(f"{names.ratio}:usual", f"clamp_max({usual} or {ended} * 0 + {MOST_USUAL}, {MOST_USUAL})"),
    )


def _usual(recorded: str, step: str) -> str:
    """Return what a recorded time hardly ever exceeded in the day before the last hour, if it has six values there.

    A histogram without observations has the quantile NaN, which is no value.
    """
    day = f"({recorded} >= 0)[1d:{step}] offset 1h"
    return f"(quantile_over_time(0.95, {day}) and count_over_time({day}) >= 6)"


# The process died, out of memory for instance, or the time limit ended it.
KILLED = '{exception=~"WorkerLostError|TimeLimitExceeded|SoftTimeLimitExceeded"}'
SUCCEEDED = (
    "max by (@{by}, task) (max_over_time(celery_task_last_success_timestamp_seconds[2d])"
    " or max_over_time(celery_task_last_success_timestamp_seconds[30d:1h]))"
)
"""The last success that Prometheus remembers, so that a restart of the exporter does not hide it."""
EXPECTED_SINCE = (
    "min by (@{by}, task) (min_over_time(timestamp(celery_task_expected_interval_seconds)[30d:1h])"
    " or min_over_time(timestamp(celery_task_expected_interval_seconds)[2h:1m]))"
)
RUNNING = "(time() - min by (@{by}, task) (celery_task_oldest_started_timestamp_seconds))"
LONGEST = "max by (@{by}, task) (celery_task_runtime_threshold_seconds)"
USUAL = "max by (@{by}, task) (celery:task_runtime_seconds:usual)"
USUAL_P95 = _usual("celery:task_runtime_seconds:p95_15m", "15m")
RUNTIME, WAIT = task_rates.HISTOGRAMS


def _waits_longer_than(own: str) -> str:
    """Return whether the 95th percentile of waiting times is above that of the queue, or a parameter if it has none."""
    p95 = "celery:task_wait_seconds:p95_10m"
    of_queue = f"{p95} > on ({BY}, queue) group_left () {own}"
    waited = "celery:task_wait_seconds_count:increase10m >= @{least_executions}"
    return f"({of_queue} or ({p95} > @{{seconds}} unless on ({BY}, queue) {own})) and {waited}"


RECORDINGS = (
    *(recording for window in ("10m", "15m", "30m") for recording in _ratios(window)),
    *(recording for names in (OF_TASK, OF_ALL) for recording in _long_ratios(names)),
    Recording("celery:task_runtime_seconds:mean10m", histograms.mean(RUNTIME, BY_TASK, "10m")),
    Recording("celery:task_runtime_seconds:usual", _usual("celery:task_runtime_seconds:mean10m", "10m")),
    Recording("celery:task_runtime_seconds:p95_15m", histograms.quantile(0.95, RUNTIME, BY_TASK, "15m")),
    Recording("celery:task_wait_seconds:p95_10m", histograms.quantile(0.95, WAIT, BY_TASK, "10m")),
    Recording("celery:task_runtime_seconds_count:increase15m", histograms.count(RUNTIME, BY_TASK, "increase", "15m")),
    Recording("celery:task_wait_seconds_count:increase10m", histograms.count(WAIT, BY_TASK, "increase", "10m")),
    *task_rates.RECORDINGS,
)

ALERTS = (
    Alert(
        "CeleryTaskFailureRateHigh", "warning",
        _fails_often(OF_TASK),
        "A task fails often.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.task }} on {{ $labels.queue }} failed in the"
        " last 10 minutes, or 30 if too few ended in 10.",
        wait="5m", parameters={"ratio": 0.05, "least_executions": 20, "least_failures": 5}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskFailureRateCritical", "critical",
        _fails_more_than_usual(OF_TASK),
        "A large share of a task's executions fails.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.task }} on {{ $labels.queue }} failed in the"
        " last 15 minutes (30 minutes or 6 hours where fewer end), more than usual.",
        # It inhibits CeleryFailureRateCritical, which sums all tasks and can therefore end some minutes later.
        wait="2m", keep="10m", panel="celery-task",
        parameters={"ratio": 0.1, "least_executions": 15, "least_failures": 3, "deviations": 4},
    ),
    Alert(
        "CeleryTaskFailing", "critical",
        f"max by ({BY}, task) (celery_task_consecutive_failures) >= @{{executions}}"
        f" and time() - max by ({BY}, task) (celery_task_last_failure_timestamp_seconds) < @{{seconds}}",
        "A task fails every time.",
        'The last {{ $value | printf "%.0f" }} executions of {{ $labels.task }} failed.',
        wait="5m", parameters={"executions": 3, "seconds": 172_800}, panel="celery-task",
    ),
    Alert(
        "CeleryFailureRateCritical", "critical",
        _fails_more_than_usual(OF_ALL),
        "A large share of all executions fails.",
        "{{ $value | humanizePercentage }} of all executions failed in the last 15 minutes (30 minutes or 6 hours where"
        " fewer end), more than usual.",
        wait="2m", parameters={"ratio": 0.1, "least_executions": 15, "least_failures": 3, "deviations": 4},
    ),
    Alert(
        "CeleryTaskRetryStorm", "warning",
        f"sum by ({BY_TASK}) (rate(celery_tasks_total{RETRIES}[10m]))"
        f" / (sum by ({BY_TASK}) (rate(celery_tasks_started_total[10m])) > 0) > @{{ratio}}"
        f" and {RETRIED} >= @{{least_retries}}",
        "A task is retried again and again.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.task }} on {{ $labels.queue }} ended in a"
        " retry in the last 10 minutes.",
        wait="10m", parameters={"ratio": 0.5, "least_retries": 20}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskSlow", "warning",
        "celery:task_runtime_seconds:mean10m > on (@{by}, task) group_left ()"
        " max by (@{by}, task) (celery_task_runtime_threshold_seconds)"
        " or (celery:task_runtime_seconds:mean10m > @{seconds}"
        " and celery:task_runtime_seconds:mean10m > @{times} * celery:task_runtime_seconds:usual"
        " unless on (@{by}, task) celery_task_runtime_threshold_seconds)",
        "A task takes long on average.",
        "An execution of {{ $labels.task }} on {{ $labels.queue }} took {{ $value | humanizeDuration }} on average in"
        " the last 10 minutes, longer than its runtime_threshold or than usual.",
        wait="10m", parameters={"seconds": 60, "times": 2}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskSlowest", "info",
        f"celery:task_runtime_seconds:p95_15m > @{{seconds}}"
        f" and celery:task_runtime_seconds:p95_15m > @{{times}} * {USUAL_P95}"
        " and celery:task_runtime_seconds_count:increase15m >= @{least_executions}",
        "One in twenty executions of a task takes long.",
        "The 95th percentile of the runtime of {{ $labels.task }} on {{ $labels.queue }} is"
        " {{ $value | humanizeDuration }}, longer than usual.",
        wait="15m", parameters={"seconds": 300, "times": 2, "least_executions": 20}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskWaitHigh", "warning",
        _waits_longer_than(OWN_WAIT),
        "Tasks wait long before they start.",
        "One in twenty executions of {{ $labels.task }} waited {{ $value | humanizeDuration }} or longer in"
        " {{ $labels.queue }}.",
        wait="10m", parameters={"seconds": 60, "least_executions": 10}, panel="celery-queues",
    ),
    Alert(
        "CeleryTaskWaitCritical", "critical",
        _waits_longer_than(f"@{{times}} * {OWN_WAIT}"),
        "Tasks wait very long before they start.",
        "One in twenty executions of {{ $labels.task }} waited {{ $value | humanizeDuration }} or longer in"
        " {{ $labels.queue }}.",
        wait="10m", parameters={"seconds": 600, "times": 2, "least_executions": 10},
        panel="celery-queues",
    ),
    Alert(
        "CeleryTaskStuck", "warning",
        f"{RUNNING} > @{{seconds}} and {HEARING} unless {RUNNING} <= ({LONGEST} or @{{times}} * {USUAL})",
        "An execution does not end.",
        "An execution of {{ $labels.task }} has been running for {{ $value | humanizeDuration }}.",
        wait="5m", parameters={"seconds": 3600, "times": 2}, panel="celery-task",
    ),
    Alert(
        "CeleryTasksExpired", "warning",
        once('increase(celery_task_revocations_total{reason="expired"}[1h])', f"{BY}, task") + " > @{tasks} + 0.5",
        "Tasks expire before they are executed.",
        'Messages of {{ $labels.task }} that expired in the last hour: {{ $value | printf "%.0f" }}.',
        parameters={"tasks": 0}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskKilled", "warning",
        once(f"increase(celery_task_exceptions_total{KILLED}[30m])", f"{BY}, task, exception")
        + " > @{executions} + 0.5",
        "Executions are killed.",
        'Executions of {{ $labels.task }} that ended by {{ $labels.exception }} in the last 30 minutes:'
        ' {{ $value | printf "%.0f" }}.',
        parameters={"executions": 2}, panel="celery-task",
    ),
    Alert(
        "CeleryPeriodicTaskStale", "critical",
        f"time() - {SUCCEEDED}"
        " > on (@{by}, task) @{intervals}"
        " * max by (@{by}, task) (celery_task_expected_interval_seconds)",
        "A periodic task has not succeeded for several intervals.",
        "{{ $labels.task }} last succeeded {{ $value | humanizeDuration }} ago.",
        wait="1m", parameters={"intervals": 3}, panel="celery-task",
    ),
    Alert(
        "CeleryPeriodicTaskNeverSucceeded", "critical",
        f"(@{{intervals}} * max by ({BY}, task) (celery_task_expected_interval_seconds) < time() - {EXPECTED_SINCE})"
        f" unless {SUCCEEDED}",
        "A periodic task has never succeeded since it is expected.",
        "{{ $labels.task }} has not succeeded since it is expected, for more than {{ $value | humanizeDuration }}.",
        wait="1m", parameters={"intervals": 3}, panel="celery-task",
    ),
)  # fmt: skip

GROUP = RuleGroup("celery-tasks", RECORDINGS, ALERTS)
