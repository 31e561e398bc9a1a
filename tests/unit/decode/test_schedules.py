# SPDX-License-Identifier: Apache-2.0
"""The longest time between two runs."""

import json
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from celery.schedules import crontab
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_redis_exporter.decode.schedules import Crontab, crontab_interval, decode_redbeat_definition
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import PeriodicTask
from tests.support.sizes import scaled

HOUR, DAY = 3600.0, 86_400.0


@pytest.mark.parametrize(
    ("fields", "interval"),
    [
        ({}, 60), ({"minute": "*/5"}, 300), ({"minute": 0}, HOUR), ({"minute": "0", "hour": "*/2"}, 2 * HOUR),
        ({"minute": 30, "hour": 4}, DAY), ({"minute": "0", "hour": "8-17"}, 15 * HOUR),
        ({"minute": 0, "hour": "22-2"}, 20 * HOUR), ({"minute": 0, "hour": 3, "day_of_week": "mon-fri"}, 3 * DAY),
        ({"minute": 0, "hour": 0, "day_of_week": "sunday"}, 7 * DAY),
        ({"minute": 0, "hour": 0, "day_of_week": 7}, 7 * DAY),
        ({"minute": 0, "hour": 0, "day_of_month": 1}, 31 * DAY),
        ({"minute": 0, "hour": 0, "day_of_month": "31"}, 61 * DAY),
        ({"minute": 0, "hour": 0, "day_of_month": 1, "month_of_year": "jan"}, 366 * DAY),
        ({"minute": 0, "hour": 0, "day_of_month": 29, "month_of_year": 2}, 1461 * DAY),
        ({"minute": "0,15,20"}, 40 * 60.0), ({"minute": "10-20/5", "hour": "1,2"}, 23 * HOUR - 600),
        ({"minute": 0, "hour": 0, "day_of_month": 30, "month_of_year": 2}, None),
    ],
)  # fmt: skip
def test_crontab(fields: dict[str, str | int], interval: float | None) -> None:
    """The interval is the longest gap between two runs, over nights, weekends, short months and leap years."""
    assert interval == crontab_interval(Crontab(**fields))


MINUTES = st.sampled_from(["*", "*/7", "0", "5,50", "10-20/3", "50-10"])
HOURS = st.sampled_from(["*", "*/5", "3", "22-2", "1,13"])
WEEKDAYS = st.sampled_from(["*", "mon", "mon-fri", "fri-mon", "0,3", "*/2"])


@settings(max_examples=scaled(8, 25))
@given(MINUTES, HOURS, WEEKDAYS)
def test_crontab_as_celery_runs_it(minute: str, hour: str, day_of_week: str) -> None:
    """Celery's own crontab, evaluated run after run for two weeks, has no longer gap, and one of this length."""
    plan = crontab(minute=minute, hour=hour, day_of_week=day_of_week)
    first = datetime(2026, 3, 2)  # noqa: DTZ001 -- a wall clock, as crontab counts
    runs = [
        moment
        for moment in (first + timedelta(minutes=number) for number in range(16 * 24 * 60))
        if moment.minute in plan.minute and moment.hour in plan.hour and moment.isoweekday() % 7 in plan.day_of_week
    ]
    longest = max((later - earlier).total_seconds() for earlier, later in pairwise(runs))
    assert longest == crontab_interval(Crontab(minute, hour, day_of_week))


@pytest.mark.parametrize(
    "fields",
    [{"minute": "60"}, {"minute": "x"}, {"hour": "-"}, {"minute": "*/0"}, {"minute": "*/x"}, {"day_of_month": "0"},
     {"month_of_year": "13"}, {"minute": ""}, {"minute": "9" * 30}],
)  # fmt: skip
def test_unreadable_fields(fields: dict[str, str]) -> None:
    """A field without valid numbers raises an error with the reason."""
    with pytest.raises(DecodeError) as caught:
        crontab_interval(Crontab(**fields))
    assert "schedule" == caught.value.reason


def entry(schedule: object, **others: object) -> bytes:
    """Return a definition as RedBeat writes it."""
    return json.dumps({"name": "n", "task": "proj.t", "args": [], "schedule": schedule, **others}).encode()


def test_redbeat_definitions() -> None:
    """Intervals and crontabs yield their task's interval; disabled and other schedules yield None."""
    every = {"__type__": "interval", "every": 30.5, "relative": False}
    assert PeriodicTask("proj.t", 30.5) == decode_redbeat_definition(entry(every, enabled=True))
    daily = {"__type__": "crontab", "minute": 0, "hour": "4", "day_of_week": "*", "day_of_month": "*",
             "month_of_year": "*"}  # fmt: skip
    assert PeriodicTask("proj.t", DAY) == decode_redbeat_definition(entry(daily))
    often = {"__type__": "interval", "every": 0.5, "relative": False}
    assert PeriodicTask("proj.t", 0.5) == decode_redbeat_definition(entry(often))
    assert decode_redbeat_definition(entry(every, enabled=False)) is None
    assert decode_redbeat_definition(entry({"__type__": "rrule", "freq": 3})) is None
    assert decode_redbeat_definition(entry({"__type__": "interval", "every": 0, "relative": False})) is None


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_what_is_no_definition(text: bytes) -> None:
    """Any other content raises DecodeError."""
    with pytest.raises(DecodeError):
        decode_redbeat_definition(text)
