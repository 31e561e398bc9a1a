# SPDX-License-Identifier: Apache-2.0
"""Read the periodic tasks of the user's Celery application, from its code or from the storage of its scheduler.

The application is imported as ``celery --app`` imports it, in the current directory, which runs its modules. Used by
commands, never by the daemon. Raises ConfigError with the cause if this fails.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from celery_redis_exporter.errors import ConfigError


class ScheduledTask(NamedTuple):
    """An entry of a schedule. ``kind`` is crontab, interval, solar or the name of another class.

    ``fields`` contains those of a crontab as they were written, and ``seconds`` the length of an interval.
    """

    entry: str
    task: str
    kind: str
    fields: Mapping[str, str]
    seconds: float | None = None


def read_schedule(app: str, scheduler: str | None = None) -> list[ScheduledTask]:
    """Return the entries of the application that ``app`` names, as in ``proj.celery`` or ``proj.celery:app``.

    ``scheduler`` is the scheduler's class as for ``celery beat -S``, by default the application's ``beat_scheduler``.
    The entries of Celery's own schedulers are in ``beat_schedule``. Any other scheduler is queried. Nothing is written.
    Raises ConfigError.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    application, own = _find(app)
    name = scheduler or own
    try:
        entries = [_read(entry) for entry in _entries(application, name)]
    except _user_errors() as error:
        cure = (
            "install its package in this environment, or name the scheduler as for celery beat: --scheduler=CLASS"
            if isinstance(error, ImportError)
            else "run this where its database or server can be reached, with the settings of beat"
        )
        cause = _describe(error)
        raise ConfigError(f"--app {app}: the entries of its scheduler {name} can't be read ({cause}); {cure}") from None
    return sorted(entries, key=lambda entry: entry.entry)


def _entries(application: Any, name: str) -> Iterable[Any]:  # noqa: ANN401 -- celery ships no types
    """Return objects with the name, task and schedule of each enabled entry."""
    from celery.beat import PersistentScheduler, Scheduler  # noqa: PLC0415 -- as below
    from celery.utils.imports import load_extension_class_names, symbol_by_name  # noqa: PLC0415 -- as below

    if not name.startswith("celery.beat"):
        # This sets Django up, without which its schedulers can't be imported.
        application.loader.import_default_modules()
    kind: Any = symbol_by_name(name, aliases=dict(load_extension_class_names("celery.beat_schedulers")))
    if kind is Scheduler or issubclass(kind, PersistentScheduler):
        found = (application.conf.beat_schedule or {}).items()
        return [SimpleNamespace(name=name, task=entry["task"], schedule=entry["schedule"]) for name, entry in found]
    scheduler = kind(app=application, lazy=True)
    # In django-celery-beat and RedBeat, ``schedule`` contains only entries that are due soon.
    rows = getattr(getattr(kind, "Model", None), "objects", None)
    if rows is not None:
        return list(rows.filter(enabled=True).prefetch_related("interval", "crontab", "solar", "clocked"))
    if hasattr(kind.Entry, "decode_definition"):
        return _redbeat_entries(application, kind.Entry)
    return [entry for entry in scheduler.schedule.values() if getattr(entry, "enabled", True)]


def _redbeat_entries(application: Any, kind: Any) -> list[Any]:  # noqa: ANN401 -- redbeat ships no types
    from redbeat.schedulers import get_redis  # noqa: PLC0415 -- the user's package

    client, conf = get_redis(application), application.redbeat_conf
    with client.pipeline(transaction=False) as pipe:
        for key in client.zrange(conf.schedule_key, 0, -1):
            pipe.hget(key, "definition")
        found = [SimpleNamespace(**kind.decode_definition(text)) for text in pipe.execute() if text]
    return [entry for entry in found if getattr(entry, "enabled", True)]


def _user_errors() -> tuple[type[Exception], ...]:
    """Return the errors that an application, its scheduler, and its database or server raise."""
    from celery.exceptions import CeleryError  # noqa: PLC0415 -- as below
    from kombu.exceptions import KombuError  # noqa: PLC0415 -- as below

    errors: list[type[Exception]] = [
        ImportError, AttributeError, SyntaxError, TypeError, ValueError, LookupError, OSError, RuntimeError,
        ArithmeticError, AssertionError, EOFError, NameError, CeleryError, KombuError, RedisError,
    ]  # fmt: skip
    for module, name in (
        ("django.db", "Error"),
        ("django.core.exceptions", "ImproperlyConfigured"),
        ("django.core.exceptions", "AppRegistryNotReady"),
        ("django.core.management.base", "CommandError"),
        ("decouple", "UndefinedValueError"),
    ):
        found = getattr(sys.modules.get(module), name, None)
        errors += [found] if found else []
    return tuple(errors)


def _find(app: str) -> tuple[Any, str]:
    """Return the application that ``app`` names, and its ``beat_scheduler``. Raises ConfigError."""
    from celery import Celery  # noqa: PLC0415 -- takes long, and the daemon never needs it
    from celery.app.utils import find_app  # noqa: PLC0415 -- as above

    try:
        found = find_app(app)
        if isinstance(found, Celery):
            return found, found.conf.beat_scheduler  # This imports the module of its settings.
    except _user_errors() as error:
        raise ConfigError(
            f"--app {app}: can't be imported ({_describe(error)}); run this where the application starts, with its"
            " environment variables and packages, and name it as for celery --app, as in proj.celery"
        ) from None
    cure = "name the application, as in proj.celery:app"
    if callable(found):
        called = getattr(found, "__name__", "factory")
        cure = f"assign what it returns to a name of its module, as in app = {called}(), and use that name"
    raise ConfigError(f"--app {app}: is not a Celery application but of type {type(found).__name__}; {cure}")


def _describe(error: Exception) -> str:
    """Return the class and the message of an exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _read(entry: Any) -> ScheduledTask:  # noqa: ANN401 -- its schedule is anything
    from celery import schedules  # noqa: PLC0415 -- as above

    name, task, plan = str(entry.name), str(entry.task), schedules.maybe_schedule(entry.schedule)
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
