"""The user's Celery application: its beat_schedule, read from the code.

Imports the application as ``celery --app`` does, in the current directory, which runs its modules; used by commands,
never by the daemon. Raises ConfigError with the cause where that fails.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from celery_redis_exporter.errors import ConfigError


class ScheduledTask(NamedTuple):
    """An entry of beat_schedule: ``kind`` is crontab, interval, solar or the name of another class.

    ``fields`` are a crontab's, as they were written; ``seconds`` is an interval's.
    """

    entry: str
    task: str
    kind: str
    fields: Mapping[str, str]
    seconds: float | None = None


def read_beat_schedule(app: str) -> list[ScheduledTask]:
    """Give the entries of the application that ``app`` names, as in ``proj.celery`` or ``proj.celery:app``."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    application = _find(app)
    return [_read(name, entry) for name, entry in sorted((application.conf.beat_schedule or {}).items())]


def _find(app: str) -> Any:  # noqa: ANN401 -- celery ships no types
    from celery.app.utils import find_app  # noqa: PLC0415 -- takes long, and the daemon never needs it
    from celery.exceptions import CeleryError  # noqa: PLC0415 -- as above

    try:
        return find_app(app)
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError, CeleryError) as error:
        raise ConfigError(
            f"--app {app}: can't be imported ({error}); run this where the application can be, "
            "and name it as for celery --app, as in proj.celery"
        ) from None


def _read(name: str, entry: Any) -> ScheduledTask:  # noqa: ANN401 -- a mapping, whose schedule is anything
    from celery import schedules  # noqa: PLC0415 -- as above

    task, plan = str(entry["task"]), schedules.maybe_schedule(entry["schedule"])
    if isinstance(plan, schedules.crontab):
        names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
        fields = {field: _written(getattr(plan, f"_orig_{field}")) for field in names}
        return ScheduledTask(name, task, "crontab", fields)
    if isinstance(plan, schedules.solar):
        return ScheduledTask(name, task, "solar", {})
    if isinstance(plan, schedules.schedule):
        return ScheduledTask(name, task, "interval", {}, plan.run_every.total_seconds())
    return ScheduledTask(name, task, type(plan).__name__, {})


def _written(field: Any) -> str:  # noqa: ANN401 -- text, a number, or numbers in a collection
    return ",".join(map(str, sorted(field))) if isinstance(field, list | tuple | set | frozenset) else str(field)
