"""``schedule``: turn an application's beat_schedule into expected intervals for the settings file.

Takes ``--app``, writes YAML to standard output, and what it can't express to standard error. Runs the user's code, as
``celery --app`` does; never reads settings or servers.
"""

import json
import sys

from celery_redis_exporter.decode.schedules import SOLAR, Crontab, crontab_interval
from celery_redis_exporter.errors import ConfigError, DecodeError
from celery_redis_exporter.settings.schema.values import show_seconds
from celery_redis_exporter.sources.celery_app import ScheduledTask, read_beat_schedule

HELP = """\
usage: celery-redis-exporter schedule --app=MODULE[:NAME]

Print the beat_schedule of a Celery application as settings: the longest time between two runs of each task, which
becomes celery_task_expected_interval_seconds. Put the output into the file of --config.file.
"""


def run(argv: list[str]) -> int:
    """Print the settings; raise ConfigError for a wrong flag or an application that can't be imported."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    intervals: dict[str, float] = {}
    for entry in read_beat_schedule(_app(argv)):
        interval = _interval(entry)
        if interval is None:
            sys.stderr.write(f"left out: {entry.entry}: its schedule ({entry.kind}) says no interval\n")
        else:
            intervals[entry.task] = min(interval, intervals.get(entry.task, interval))
    sys.stdout.write("tasks:\n" if intervals else "tasks: {}\n")
    for task, interval in sorted(intervals.items()):
        # JSON's texts are YAML's, whatever the name holds.
        sys.stdout.write(f"  {json.dumps(task)}:\n    expected_interval: {show_seconds(interval)}\n")
    return 0


def _app(argv: list[str]) -> str:
    words = [word for argument in argv for word in argument.split("=", 1)]
    if len(words) != 2 or words[0] not in {"--app", "-A"} or not words[1]:
        raise ConfigError("schedule takes one flag: --app=MODULE[:NAME], as in --app=proj.celery")
    return words[1]


def _interval(entry: ScheduledTask) -> float | None:
    """Seconds; of several entries that are left, the next run is never later than by the shortest."""
    if entry.kind == "solar":
        return SOLAR
    if entry.kind != "crontab":
        return entry.seconds or None
    try:
        return crontab_interval(Crontab(**entry.fields))
    except DecodeError:
        return None
