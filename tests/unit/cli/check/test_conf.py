# SPDX-License-Identifier: Apache-2.0
"""The findings that check derives from the settings that workers report."""

import pytest

from celery_redis_exporter.cli.check.conf import conf_findings
from celery_redis_exporter.cli.check.finding import celery_setting
from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.records.events import TaskSent, TaskStarted
from celery_redis_exporter.records.inspection import AppSettings
from celery_redis_exporter.settings import load

W1, W2 = "w1@host", "w2@host"
SAME = AppSettings(3600, "\x06\x16", (0, 3, 6, 9), sends_task_events=True, sends_sent_events=True)
LONG = SAME._replace(visibility_timeout=86400.0)
FLAG = "--broker-transport-options."
HOUR, DAY = f"{FLAG}visibility-timeout=1h", f"{FLAG}visibility-timeout=86400"
QUIET = SAME._replace(sends_task_events=False)


@pytest.mark.parametrize(
    ("flags", "confs", "expected"),
    [
        ((), {W1: LONG}, {}),
        ((HOUR,), {W1: LONG}, {"settings-visibility-timeout": DAY}),
        ((f"{FLAG}visibility-timeout=24h",), {W1: LONG}, {}),
        ((f"{FLAG}sep=|",), {W1: SAME._replace(sep=":")}, {"settings-sep": f"{FLAG}sep=:"}),
        ((f"{FLAG}priority-steps=0,9",), {W1: SAME}, {"settings-priority-steps": f"{FLAG}priority-steps=0,3,6,9"}),
        ((f"{FLAG}visibility-timeout=1h",), {W1: AppSettings()}, {}),
        ((), {W1: LONG, W2: SAME}, {"workers-differ": "broker_transport_options = {'visibility_timeout': VALUE}"}),
        (("--broker-url=amqp://localhost",), {W1: LONG, W2: SAME}, {}),
        (
            (),
            {W1: QUIET},
            {"worker-task-events-unset": celery_setting("worker_send_task_events", "True")},
        ),
        (
            (),
            {W1: SAME._replace(sends_sent_events=False)},
            {"worker-task-sent-unset": celery_setting("task_send_sent_event", "True")},
        ),
    ],
    ids=["not set here", "timeout", "same", "sep", "steps", "unreadable", "differ", "rabbitmq", "no events", "no sent"],
)
def test_differences(flags: tuple[str, ...], confs: dict[str, AppSettings], expected: dict[str, str]) -> None:
    """A setting that differs from the workers' gets a finding with the flag to set; an equal one gets none."""
    found = list(conf_findings(load(flags, {}), confs, Observations()))
    assert expected == {finding.code: finding.lines[0] for finding in found}
    assert all(W1 in finding.text for finding in found)


def test_what_was_heard_is_not_doubted() -> None:
    """If task events of a worker were received, it runs with -E; if task-sent was received, that setting is on."""
    observed = Observations()
    observed.fold(TaskSent("u", 1.0, "t"), 1.0)
    observed.fold(TaskStarted("u", 1.0, W1), 1.0)
    conf = SAME._replace(sends_task_events=False, sends_sent_events=False)
    assert [] == list(conf_findings(load([], {}), {W1: conf}, observed))


def test_a_setting_is_written_for_django_too() -> None:
    """The line can be pasted into Celery's configuration, followed by the form for Django's settings."""
    line = celery_setting("worker_send_task_events", "True")
    assert "worker_send_task_events = True  # in Django's settings: CELERY_WORKER_SEND_TASK_EVENTS = True" == line
    found: dict[str, object] = {}
    exec(line, found)  # noqa: S102 -- the line comes from this project
    assert found["worker_send_task_events"] is True
