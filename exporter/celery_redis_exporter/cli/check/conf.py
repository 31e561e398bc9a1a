# SPDX-License-Identifier: Apache-2.0
"""Compare the Celery settings that workers report with the exporter's and with each other.

Input: the replies of workers to ``inspect conf``. Output: findings. Pure functions.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.finding import Finding, FindingRow, celery_setting
from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.cli.check.workers import name_some
from celery_redis_exporter.records.inspection import AppSettings
from celery_redis_exporter.settings import RedisTarget, Settings


class _Option(NamedTuple):
    """A transport option: its name, the finding if the exporter has another value, and how a flag sets it."""

    name: str
    row: FindingRow
    in_flag: Callable[[object], str]


def _number(seconds: object) -> str:
    return str(seconds).removesuffix(".0")


def _list(steps: object) -> str:
    return ",".join(map(str, steps)) if isinstance(steps, tuple) else ""


OPTIONS = (
    _Option("visibility_timeout", rows.CONF_TIMEOUT, _number),
    _Option("sep", rows.CONF_SEPARATOR, lambda sep: shlex.quote(str(sep))),
    _Option("priority_steps", rows.CONF_STEPS, _list),
)


def conf_findings(settings: Settings, confs: Mapping[str, AppSettings], observed: Observations) -> Iterator[Finding]:
    """Yield the differences between the settings and those of workers, and the workers' settings about events.

    ``confs`` contains the settings by worker name.
    """
    if isinstance(settings.broker, RedisTarget):
        for option in OPTIONS:
            yield from _option_findings(settings, confs, option)
    quiet = sorted(
        name for name, conf in confs.items() if conf.sends_task_events is False and not _sends(observed, name)
    )  # fmt: skip
    if quiet:
        text = f"worker_send_task_events is off in {name_some(quiet)}"
        yield rows.CONF_EVENTS.found("task events", text, celery_setting("worker_send_task_events", "True"))
    unannounced = sorted(name for name, conf in confs.items() if conf.sends_sent_events is False)
    if unannounced and not observed.sent:
        text = f"task_send_sent_event is off in {name_some(unannounced)}"
        yield rows.CONF_SENT.found("task-sent", text, celery_setting("task_send_sent_event", "True"))


def _sends(observed: Observations, name: str) -> bool:
    return name in observed.workers and bool(observed.workers[name].tasks)


def _option_findings(settings: Settings, confs: Mapping[str, AppSettings], option: _Option) -> Iterator[Finding]:
    values = {name: getattr(conf, option.name) for name, conf in confs.items()}
    by_value: dict[object, list[str]] = {}
    for name, value in sorted(values.items()):
        if value is not None:
            by_value.setdefault(value, []).append(name)
    if len(by_value) > 1:
        parts = [f"{_shown(value)} in {name_some(names)}" for value, names in by_value.items()]
        text = f"{option.name} is {'; '.join(parts)}"
        yield rows.CONF_DIFFERS.found("workers", text, f"broker_transport_options = {{{option.name!r}: VALUE}}")
    own = settings.broker_transport_options
    if option.name not in own.model_fields_set or not by_value or getattr(own, option.name) in by_value:
        return
    value, names = next(iter(by_value.items()))
    text = f"{option.name} is {_shown(getattr(own, option.name))} here, and {_shown(value)} in {name_some(names)}"
    flag = f"--broker-transport-options.{option.name.replace('_', '-')}={option.in_flag(value)}"
    yield option.row.found("settings", text, *([flag] if flag.isprintable() else []))


def _shown(value: object) -> str:
    return _number(value) if isinstance(value, float) else json.dumps(value)
