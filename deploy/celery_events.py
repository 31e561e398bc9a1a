# SPDX-License-Identifier: Apache-2.0
"""For your Celery application, to import where it is made: what the exporter would otherwise have to query.

    import celery_events

Workers then report their queues and their concurrency in every heartbeat, every message carries the time of its
publishing, and beat sends heartbeats and its schedule. Needs Celery 5.3 or later and nothing else; runs in workers,
beats and publishers, never in the exporter.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice, product
from types import SimpleNamespace
from typing import Any

from celery import beat, schedules
from celery.signals import beat_init, before_task_publish, heartbeat_sent, worker_ready
from celery.worker.state import SOFTWARE_INFO  # what Celery adds to its worker events

BEAT_SECONDS = 10.0
"""Between two heartbeats of beat; beat wakes up as often. The exporter reports it as down after three."""
SCHEDULE_SECONDS = 60.0
"""Between two reports of beat's schedule."""
MOST_ENTRIES, MOST_TASKS, TASKS_PER_EVENT = 10_000, 1_000, 100
"""Entries of a schedule that are read, tasks that are reported, and tasks in one event."""
YEARS = 9
"""Time in which runs of a crontab are searched for: the longest time between two 29ths of February is eight years."""

# The handlers of Exception below are broad on purpose. This code runs in beat's own tick, where anything that it raised
# would end the schedule. What can fail is not known here: schedulers, entries and transports raise errors of Django's,
# of Redis clients, of AMQP, or of the user's own classes. Each failure is logged, and costs a report.
logger = logging.getLogger(__name__)
_consumers: list[Any] = []


@worker_ready.connect
def remember_consumer(sender: Any, **_: Any) -> None:
    """Keep the worker's consumer, which knows what it consumes now."""
    _consumers[:] = [sender]
    describe_worker()


@heartbeat_sent.connect
def describe_worker(**_: Any) -> None:
    """Bring queues and concurrency up to date, before each heartbeat."""
    for consumer in _consumers:
        if consumer.task_consumer:
            SOFTWARE_INFO["queues"] = sorted(queue.name for queue in consumer.task_consumer.queues)
        SOFTWARE_INFO["concurrency"] = consumer.pool.num_processes


@before_task_publish.connect
def stamp_message(headers: dict[str, Any], **_: Any) -> None:
    """Put the time of publishing into the message; a retry is a new publishing."""
    headers["published_at"] = time.time()


@beat_init.connect
def report_beat(sender: Any, **_: Any) -> None:
    """Let a beat report itself from its scheduler's tick, so that a beat that hangs is silent."""
    scheduler = sender.scheduler
    reporter = BeatReporter(scheduler, _beat_name(sender))
    scheduler.tick, scheduler.close = reporter.tick, reporter.close


class BeatReporter:
    """Sends events about a beat: heartbeats, its schedule with some of them, and beat-offline when it stops.

    An event that can't be sent is dropped: beat goes on without delay.
    """

    def __init__(self, scheduler: Any, hostname: str) -> None:
        self._scheduler = scheduler
        self._tick, self._close = scheduler.tick, scheduler.close
        self._hostname = hostname
        self._dispatcher: Any = None
        self._sent_at = self._schedule_sent_at = float("-inf")
        self._failing = False

    def tick(self, *arguments: Any, **options: Any) -> Any:
        """Tick as the scheduler does, and send what is due; return the delay, shortened to the next heartbeat."""
        delay = self._tick(*arguments, **options)
        now = time.monotonic()
        if now - self._sent_at >= BEAT_SECONDS:
            self._sent_at = now
            self._report(now)
        left = max(self._sent_at + BEAT_SECONDS - now, 0.1)
        return min(delay, left) if isinstance(delay, (int, float)) else delay

    def close(self, *arguments: Any, **options: Any) -> Any:
        """Report that beat stops, and close the scheduler."""
        if self._dispatcher is not None:
            self._send("beat-offline", {})
            self._disconnect()
        return self._close(*arguments, **options)

    def _report(self, now: float) -> None:
        parts: list[dict[str, float]] = []
        if now - self._schedule_sent_at >= SCHEDULE_SECONDS:
            parts = self._read_parts()
        sent = all([self._send("beat-heartbeat", {"tasks": part}) for part in parts] or [self._send("beat-heartbeat")])
        if parts and sent:
            self._schedule_sent_at = now

    def _read_parts(self) -> list[dict[str, float]]:
        """Return the schedule in parts of TASKS_PER_EVENT tasks; none if it can't be read."""
        try:
            intervals = read_intervals(self._scheduler)
        except Exception:
            logger.warning("celery_events: the schedule can't be read, so it is not reported", exc_info=True)
            self._schedule_sent_at = time.monotonic()
            return []
        tasks = iter(sorted(intervals.items())[:MOST_TASKS])
        return list(iter(lambda: dict(islice(tasks, TASKS_PER_EVENT)), {})) or [{}]

    def _send(self, kind: str, fields: Any = None) -> bool:
        """Send an event; return whether it was sent."""
        try:
            if self._dispatcher is None:
                self._connect()
            self._dispatcher.send(kind, freq=BEAT_SECONDS, **(fields or {}))
        except Exception:
            if not self._failing:
                logger.warning("celery_events: beat can't report itself", exc_info=True)
            self._failing = True
            self._disconnect()
            return False
        self._failing = False
        return True

    def _connect(self) -> None:
        app = self._scheduler.app
        connection = app.connection_for_write()
        connection.connect()  # once: a dispatcher would wait for the broker
        self._dispatcher = app.events.Dispatcher(connection, hostname=self._hostname, buffer_while_offline=False)

    def _disconnect(self) -> None:
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            try:
                dispatcher.connection.release()
            except Exception:
                logger.debug("celery_events: the connection was broken", exc_info=True)


def _beat_name(service: Any) -> str:
    """Return the node name under which beat answers pings, which Celery has from 5.7 on."""
    name = getattr(beat, "beat_nodename", None)
    if name is not None:
        return str(name(getattr(service, "hostname", None)))
    return f"celerybeat@{socket.gethostname()}"


def read_intervals(scheduler: Any) -> dict[str, float]:
    """Return the longest time between two runs in seconds, by task; of several entries the shortest counts."""
    intervals: dict[str, float] = {}
    for entry in islice(_entries(scheduler), MOST_ENTRIES):
        try:
            task, interval = str(entry.task), longest_interval(entry.schedule)
        except Exception:
            logger.debug("celery_events: an entry's schedule can't be read", exc_info=True)
            continue
        if interval and getattr(entry, "enabled", True):
            intervals[task] = min(interval, intervals.get(task, interval))
    return intervals


def _entries(scheduler: Any) -> Iterator[Any]:
    """Yield every entry.

    The ``schedule`` of django-celery-beat and RedBeat contains only entries that are due soon, so they are read here.
    """
    rows, redbeat = getattr(getattr(scheduler, "Model", None), "objects", None), hasattr(scheduler.app, "redbeat_conf")
    if rows is not None:
        yield from rows.filter(enabled=True).prefetch_related("interval", "crontab", "solar", "clocked")
    elif redbeat and hasattr(scheduler.Entry, "decode_definition"):
        yield from _redbeat_entries(scheduler)
    else:
        yield from list(scheduler.schedule.values())


def _redbeat_entries(scheduler: Any) -> Iterator[Any]:
    from redbeat.schedulers import get_redis  # noqa: PLC0415 -- only where RedBeat is installed

    client = get_redis(scheduler.app)
    with client.pipeline(transaction=False) as pipe:
        for key in client.zrange(scheduler.app.redbeat_conf.schedule_key, 0, MOST_ENTRIES - 1):
            pipe.hget(key, "definition")
        found = pipe.execute()
    for definition in filter(None, found):
        yield SimpleNamespace(**scheduler.Entry.decode_definition(definition))


def longest_interval(plan: Any) -> float | None:
    """Return the longest time between two runs of a schedule in seconds; None if it states none."""
    if isinstance(plan, schedules.solar):
        return 90_000.0  # between two sunrises: a day and a little, away from the poles
    if isinstance(plan, schedules.crontab):
        times = sorted(60 * hour + minute for hour, minute in product(plan.hour, plan.minute))
        days = _longest_gap(*map(frozenset, (plan.month_of_year, plan.day_of_month, plan.day_of_week)))
        if not times or days is None:
            return None
        return 60.0 * max([*_gaps(times), 24 * 60 * days - times[-1] + times[0]])
    every = getattr(plan, "run_every", None)
    return every.total_seconds() if isinstance(every, timedelta) else None


@lru_cache(maxsize=1000)
def _longest_gap(months: frozenset[int], days: frozenset[int], weekdays: frozenset[int]) -> int | None:
    """Return the most days between two days of a crontab; None if there are not two."""
    first = date(2000, 1, 1).toordinal()
    found = [
        day.toordinal()
        for day in map(date.fromordinal, range(first, first + YEARS * 366))
        if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays
    ]
    return max(_gaps(found), default=None)


def _gaps(numbers: Sequence[int]) -> Iterator[int]:
    return (later - earlier for earlier, later in zip(numbers, numbers[1:]))  # noqa: B905, RUF007 -- Python 3.8
