# SPDX-License-Identifier: Apache-2.0
"""Compute the longest time between two runs of a periodic task from its schedule.

Input: crontab fields as Celery writes them, and RedBeat's definitions. Output: seconds. Never reads a clock: the
interval does not depend on today's date, and time zones and their changes are ignored.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated

import msgspec

from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import Text
from celery_redis_exporter.records.replies import PeriodicTask

SOLAR = 90_000.0
"""Seconds between two sunrises: a little more than a day, except near the poles."""
YEARS = 9
"""The number of years in which runs are searched for. The interval of rarer runs is too long for an alert."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: Mapping[str, int] = MappingProxyType(
    {name: number for number, name in enumerate(_MONTHS, 1)} | {name: number for number, name in enumerate(_DAYS)}
)


CronNumbers = Annotated[str, msgspec.Meta(max_length=1000)]
"""A crontab field. All minutes, with commas between them, take 170 characters."""


class Crontab(msgspec.Struct):
    """Celery's ``crontab``, with the fields as they were written. A run needs all of them to match."""

    minute: CronNumbers | int = "*"
    hour: CronNumbers | int = "*"
    day_of_week: CronNumbers | int = "*"
    day_of_month: CronNumbers | int = "*"
    month_of_year: CronNumbers | int = "*"


class _Schedule(Crontab):
    kind: str = msgspec.field(name="__type__", default="")
    every: float | None = None


class _Definition(msgspec.Struct):
    task: Text
    schedule: _Schedule
    enabled: bool = True


_decode_definition = msgspec.json.Decoder(_Definition).decode


def crontab_interval(crontab: Crontab) -> float | None:
    """Return the longest time between two runs, in seconds, or None if there are not two in nine years.

    Raises DecodeError (``schedule``) for a field that can't be read.
    """
    minutes = [
        60 * hour + minute
        for hour in sorted(_numbers(crontab.hour, 0, 23))
        for minute in sorted(_numbers(crontab.minute, 0, 59))
    ]
    days = _days(crontab)
    if not minutes or len(days) < 2:
        return None
    within = max((later - earlier for earlier, later in pairwise(minutes)), default=0)
    overnight = max(24 * 60 * (later - earlier).days for earlier, later in pairwise(days)) - minutes[-1] + minutes[0]
    return 60.0 * max(within, overnight)


def decode_redbeat_definition(text: bytes) -> PeriodicTask | None:
    """Return the task and the interval of one entry, or None if it is disabled or has no interval.

    Raises DecodeError (``schedule``) if the text is not a definition.
    """
    try:
        definition = _decode_definition(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("schedule", f"no definition of RedBeat's: {error}") from None
    schedule = definition.schedule
    interval = schedule.every if schedule.kind == "interval" else None
    if schedule.kind == "crontab":
        interval = crontab_interval(schedule)
    if not definition.enabled or interval is None or interval <= 0:
        return None
    return PeriodicTask(definition.task, interval)


def _days(crontab: Crontab) -> list[date]:
    months = _numbers(crontab.month_of_year, 1, 12)
    days = _numbers(crontab.day_of_month, 1, 31)
    weekdays = {day % 7 for day in _numbers(crontab.day_of_week, 0, 7)}
    first = date(2000, 1, 1)
    every = (first + timedelta(days=number) for number in range(YEARS * 366))
    return [day for day in every if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays]


def _numbers(field: str | int, low: int, high: int) -> set[int]:
    """Return the numbers of a field: ``*``, ``5``, ``mon-fri``, ``22-2``, or several of these with commas between them.

    Each may have a ``/step``.
    """
    numbers: set[int] = set()
    for part in str(field).lower().split(","):
        span, slash, step = part.strip().partition("/")
        numbers.update(_span(span.strip(), low, high)[:: _step(step) if slash else 1])
    return numbers


def _span(text: str, low: int, high: int) -> list[int]:
    if text == "*":
        return list(range(low, high + 1))
    first, dash, last = text.partition("-")
    start = _number(first, low, high)
    end = _number(last, low, high) if dash else start
    if end >= start:
        return list(range(start, end + 1))
    return [*range(start, high + 1), *range(low, end + 1)]


def _number(text: str, low: int, high: int) -> int:
    text = text.strip()
    number = int(text[:9]) if text.isdecimal() else _NAMES.get(text[:3], -1)
    if not low <= number <= high:
        raise DecodeError("schedule", f"a crontab field with {text[:20]!r}, which is not from {low} to {high}")
    return number


def _step(text: str) -> int:
    text = text.strip()
    if not text.isdecimal() or not int(text[:9]):
        raise DecodeError("schedule", f"a crontab field with the step {text[:20]!r}")
    return int(text[:9])
