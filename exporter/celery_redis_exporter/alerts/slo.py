# SPDX-License-Identifier: Apache-2.0
"""Make service level alerts: burn rates and an error budget for tasks that have an objective.

Input: objectives. Output: a group of rules. Burn rates are those of Google's SRE workbook: how many times faster than
allowed the budget of 30 days is used, over a long window, and over a short one so that the alert ends with the cause.
"""

import re
from dataclasses import dataclass

from celery_redis_exporter.alerts import histograms
from celery_redis_exporter.alerts.rule import BY, Alert, Recording, RuleGroup
from celery_redis_exporter.catalog.tasks import DURATION_BUCKETS
from celery_redis_exporter.errors import ConfigError

BURNS = (
    (14.4, "1h", "5m", "critical", "2m"),
    (6.0, "6h", "30m", "critical", "15m"),
    (3.0, "1d", "2h", "warning", "1h"),
    (1.0, "3d", "6h", "warning", "3h"),
)
"""Burn rate, long window, short window, severity, for."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
MAX_TASK = 128
"""Most characters of a task's name. It is part of a title in Grafana, which may have 189 characters."""
BY_TASK = f"{BY}, task"


@dataclass(frozen=True, slots=True)
class Objective:
    """The ratio (0 to 1) of a task's executions that should succeed, or should start within ``within`` seconds."""

    task: str
    share: float
    within: float | None = None

    def __post_init__(self) -> None:
        if "{{" in self.task or len(self.task) > MAX_TASK:
            raise ConfigError(f"{self.task}: is no name of a task: at most {MAX_TASK} characters, without {{{{")
        if not 0 < self.share < 1:
            raise ConfigError(f"{self.task}: an objective is a share between 0 and 100 %, as in 99.5")
        if self.within is not None and self.within not in DURATION_BUCKETS:
            bounds = ", ".join(f"{bound:g}" for bound in DURATION_BUCKETS)
            raise ConfigError(f"{self.task}: {self.within:g} s is no bucket of celery_task_wait_seconds: {bounds}")

    @property
    def kind(self) -> str:
        """Return what is promised: success or start."""
        return "success" if self.within is None else "start"


def build_group(objectives: tuple[Objective, ...]) -> RuleGroup:
    """Return the rules of all objectives. Raises ConfigError for two that would be recorded under one name."""
    recordings: list[Recording] = []
    alerts: list[Alert] = []
    named: dict[str, Objective] = {}
    for objective in objectives:
        other = named.setdefault(_name(objective), objective)
        if other is not objective:
            raise ConfigError(
                f"{objective.task}: its objective and that of {other.task} are both recorded as"
                f" celery:{_name(objective)}; leave one out"
            )
        recordings += _recordings(objective)
        alerts += _alerts(objective)
    return RuleGroup("celery-slo", tuple(recordings), tuple(alerts))


def _recordings(objective: Objective) -> list[Recording]:
    return [Recording(_ratio(objective, window), _errors(objective, window)) for window in WINDOWS] + [
        Recording(
            f"celery:{_name(objective)}:budget_left_ratio",
            f"1 - {_ratio(objective, '30d')} / {_budget(objective)}",
        )
    ]


def _alerts(objective: Objective) -> list[Alert]:
    promise = "succeed" if objective.within is None else f"start within {objective.within:g} s"
    return [
        Alert(
            f"CeleryTask{objective.kind.capitalize()}BudgetBurn", severity,
            f"{_ratio(objective, long)} > {burn:g} * {_budget(objective)}"
            f" and {_ratio(objective, short)} > {burn:g} * {_budget(objective)}",
            "A task spends its error budget too fast.",
            f"{{{{ $value | humanizePercentage }}}} of the executions of {{{{ $labels.task }}}} did not {promise} in"
            f" the last {long}; {100 * objective.share:g} % are promised.",
            wait=wait, labels={"task": objective.task, "window": long}, panel="celery-task",
        )
        for burn, long, short, severity, wait in BURNS
    ]  # fmt: skip


def _name(objective: Objective) -> str:
    return f"slo_{objective.kind}_{re.sub('[^a-zA-Z0-9]', '_', objective.task)}"


def _ratio(objective: Objective, window: str) -> str:
    return f"celery:{_name(objective)}:error_ratio{window}"


def _budget(objective: Objective) -> str:
    return f"{1 - objective.share:.6g}"


def _errors(objective: Objective, window: str) -> str:
    task = objective.task.replace("\\", r"\\").replace('"', r"\"").replace("@", "@@")
    if objective.within is None:
        failed = f'sum by ({BY_TASK}) (rate(celery_tasks_total{{task="{task}", state="failure"}}[{window}]))'
        ended = f'sum by ({BY_TASK}) (rate(celery_tasks_total{{task="{task}", state=~"success|failure"}}[{window}]))'
        return f"{failed} / ({ended} > 0)"
    where = f'task="{task}"'
    return histograms.fraction_above(float(objective.within), "celery_task_wait_seconds", where, BY_TASK, window)
