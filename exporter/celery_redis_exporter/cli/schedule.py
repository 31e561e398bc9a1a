# SPDX-License-Identifier: Apache-2.0
"""``schedule``: convert the periodic tasks of an application to expected intervals for the settings file.

Input: ``--app`` and ``--scheduler``. Output: YAML on standard output, and on standard error the tasks that can't be
expressed. Imports the user's code, as ``celery --app`` does, and reads the scheduler's database or Redis. Never reads
settings.
"""

import json
import sys

from celery_redis_exporter.decode.schedules import SOLAR, Crontab, crontab_interval
from celery_redis_exporter.errors import ConfigError, DecodeError
from celery_redis_exporter.settings.schema.values import show_seconds
from celery_redis_exporter.sources.celery_app import ScheduledTask, read_schedule

HELP = """\
usage: celery-redis-exporter schedule --app=MODULE[:NAME] [--scheduler=CLASS]

Print the schedule of a Celery application as settings: the longest time between
two runs of each task. It becomes celery_task_expected_interval_seconds. Write
the output to the file of --config.file.

  --app=MODULE[:NAME]  the application, as for celery --app
  --scheduler=CLASS    another scheduler, as for celery beat --scheduler

By default the entries are those of the application's beat_scheduler: of
beat_schedule for Celery's own, of the database for django-celery-beat, of Redis
for RedBeat.
"""

FLAGS = {"--app": "app", "-A": "app", "--scheduler": "scheduler", "-S": "scheduler"}


def run(argv: list[str]) -> int:
    """Print the settings. Raises ConfigError for a wrong flag or an application that can't be imported."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    intervals: dict[str, float] = {}
    flags = _flags(argv)
    for entry in read_schedule(flags["app"], flags.get("scheduler")):
        interval = _interval(entry)
        if interval is None:
            sys.stderr.write(f"left out: {entry.entry}: its schedule ({entry.kind}) says no interval\n")
        else:
            intervals[entry.task] = min(interval, intervals.get(entry.task, interval))
    if not intervals:
        sys.stderr.write("no entry: if beat runs with another scheduler, name it: --scheduler=CLASS\n")
    sys.stdout.write("tasks:\n" if intervals else "tasks: {}\n")
    for task, interval in sorted(intervals.items()):
        # A JSON string is also a YAML string, whatever characters the name contains.
        sys.stdout.write(f"  {json.dumps(task)}:\n    expected_interval: {show_seconds(interval)}\n")
    return 0


def _flags(argv: list[str]) -> dict[str, str]:
    words = [word for argument in argv for word in argument.split("=", 1)]
    flags = {FLAGS.get(flag, ""): value for flag, value in zip(words[::2], words[1::2], strict=False)}
    if len(words) != 2 * len(flags) or "" in {*flags, *flags.values()} or "app" not in flags:
        raise ConfigError("schedule needs --app=MODULE[:NAME], as in --app=proj.celery, and takes --scheduler=CLASS")
    return flags


def _interval(entry: ScheduledTask) -> float | None:
    """Return the interval of an entry in seconds, or None if it has none.

    Of several entries of one task the shortest interval is kept, because the next run is never later than that.
    """
    if entry.kind == "solar":
        return SOLAR
    if entry.kind != "crontab":
        return entry.seconds or None
    try:
        return crontab_interval(Crontab(**entry.fields))
    except DecodeError:
        return None
