# SPDX-License-Identifier: Apache-2.0
"""An exporter of a simulated installation: the package's state, which receives events on a simulated clock.

Input: events as Celery publishes them, answers of workers, values of servers. Output: the samples of a scrape. This
module counts nothing itself: names, labels and semantics are those of the package.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

import msgspec

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.catalog import CATALOG, Metric, internals
from celery_redis_exporter.catalog import queues as queue_rows
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.records.inspection import Answers
from celery_redis_exporter.records.replies import QueuedMessage, QueueReading
from celery_redis_exporter.records.report import Check, Health, ServerStatus
from celery_redis_exporter.records.samples import Distribution, Family, Sample
from celery_redis_exporter.settings import load
from celery_redis_exporter.status import MARKED, Snapshot, Status
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.servers import Servers
from tests.alert_life.agenda import Agenda, AgendaClock
from tests.alert_life.servers import Row
from tests.alert_life.worker import Event, Worker

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
"""A series: its name, and its labels without those of the target."""
ROUND_SECONDS = 60.0
"""Seconds between two rounds of queries to workers."""
ENVELOPE = b'{"body": "%s", "content-encoding": "utf-8", "content-type": "application/json"}'
_encode = msgspec.json.Encoder().encode


class Exporter:
    """One target of Prometheus; ``settings`` are flags of the exporter, ``instance`` is the target's label.

    It runs until ``stop`` and again from ``start``, with an empty state. ``is_target``: Prometheus has it as a target.
    ``backlog`` are bytes of events that Redis buffers for it. ``transport`` names a broker other than Redis.
    """

    def __init__(self, agenda: Agenda, instance: str, settings: Sequence[str], wanted: frozenset[str]) -> None:
        self.instance = instance
        self.is_target = True
        self.is_running = False
        self.reaches_broker = True
        self.transport = ""
        self.backlog = 0.0
        self.denied: tuple[str, ...] = ()
        self.broken_collectors: tuple[str, ...] = ()
        self._agenda = agenda
        self._settings = list(settings)
        self._wanted = wanted
        self._asked = 0.0
        self._arrived: list[Event] = []
        self._keys: dict[tuple[int, tuple[str, ...]], list[Key]] = {}
        self.application, self.status = self._build(), self._report()

    def start(self) -> None:
        """Start the process."""
        if not self.is_running:
            self.application, self.status, self.is_running = self._build(), self._report(), True
            self._keys.clear()
            self.application.inspection.expect(answers=True)
            if self.reaches_broker:
                self.application.events.opened()

    def stop(self) -> None:
        """End the process."""
        self.is_running = False
        self._arrived.clear()

    def hear(self, event: Event) -> None:
        """Receive an event."""
        if self.is_running and self.application.events.listening:
            self._arrived.append(event)

    def cut(self, *, off: bool) -> None:
        """End the subscription to the events, or open it again."""
        events = self.application.events
        if self.is_running and off and events.listening:
            events.lost("closed")
        elif self.is_running and not off and not events.listening:
            events.opened()

    def fold(self, workers: Iterable[Worker]) -> None:
        """Fold the received events, and query the workers when a round is due."""
        if not self.is_running:
            return
        application, now = self.application, self._agenda.now
        events, self._arrived = self._arrived, []
        application.events.fold([ENVELOPE % b64encode(_encode(events))] if events else [])
        application.events.tick()
        everyone = now - self._asked >= ROUND_SECONDS
        if self.reaches_broker:
            self._asked = now if everyone else self._asked
            self._query({worker.name: worker for worker in workers}, everyone=everyone)

    def garble(self, reason: str) -> None:
        """Receive a message that can't be read."""
        if self.is_running:
            self.application.events.fold([b"no envelope" if reason == "envelope" else ENVELOPE % b"eA=="])

    def meet_a_bug(self, collector: str) -> None:
        """Count an unexpected error."""
        if self.is_running:
            self.application.store.scalar(internals.UNEXPECTED_ERRORS, collector).value += 1

    def mark(self) -> None:
        """Record a mark of the counters for the report, as the exporter does each minute."""
        if self.is_running:
            self.status.mark(self.application.families(whole=True, only=MARKED))

    def judge(
        self,
        servers: Mapping[str, Sequence[Row]],
        queues: Mapping[str, Sequence[tuple[str, float]]],
        unacked: Sequence[float],
    ) -> list[Health]:
        """Return the verdicts of the report for these servers, queues and unacknowledged deliveries."""
        application = self.application
        listens = application.events.listening
        checks = [Check("Event stream", "ok" if listens else "failed", "connected" if listens else "closed")]
        with application.store.lock:
            others = [*self._queue_samples(queues, unacked), *self._own_samples()]
        found = {name: [_sample(row) for row in rows] for name, rows in servers.items()} | {"": others}
        snapshot = Snapshot(application.families(whole=True), found, (), checks, None, application.activity())
        return self.status.report(snapshot).health

    def scrape(
        self, queues: Mapping[str, Sequence[tuple[str, float]]], unacked: Sequence[float]
    ) -> Iterator[tuple[Key, float]]:
        """Yield the samples of the application: events, queues by name, unacknowledged deliveries."""
        with self.application.store.lock:
            samples = [*self._queue_samples(queues, unacked), *self._own_samples()]
        for sample in samples:
            yield _key(sample.metric, sample.labels), float(str(sample.value))
        for family in self.application.families():
            name = family.metric.name
            if any(f"{name}{suffix}" in self._wanted for suffix in ("", "_bucket", "_count", "_sum")):
                yield from self._family(family)

    def _family(self, family: Family) -> Iterator[tuple[Key, float]]:
        for series, value in zip(family.series, family.values, strict=True):
            if isinstance(value, Distribution):
                keys = self._histogram_keys(family.metric, series.labels, series.bounds)
                counts = [*accumulate(value.counts)]
                yield from zip(keys, (*counts, counts[-1], value.total), strict=True)
            elif value is not None:
                yield _key(family.metric, series.labels), float(str(value))

    def _histogram_keys(self, metric: Metric, labels: tuple[str, ...], bounds: tuple[float, ...]) -> list[Key]:
        place = (id(metric), labels)
        if place not in self._keys:
            pairs = tuple(zip(metric.label_names, labels, strict=True))
            rows = [(f"{metric.name}_bucket", (*pairs, ("le", str(float(bound))))) for bound in bounds]
            rows.append((f"{metric.name}_bucket", (*pairs, ("le", "+Inf"))))
            self._keys[place] = [*rows, (f"{metric.name}_count", pairs), (f"{metric.name}_sum", pairs)]
        return self._keys[place]

    def _queue_samples(
        self, queues: Mapping[str, Sequence[tuple[str, float]]], unacked: Sequence[float]
    ) -> Iterator[Sample]:
        now = self._agenda.now
        if not self.reaches_broker:
            return
        readings = []
        for name in self.application.queues.names():
            waiting = queues.get(name, ())
            oldest = {0: QueuedMessage(*waiting[0])} if waiting else {}
            readings.append(QueueReading(name, {0: len(waiting)}, oldest))
        yield from self.application.queues.fold_all(readings, now)
        yield Sample(queue_rows.UNACKED, (), len(unacked))
        yield Sample(queue_rows.UNACKED_OLDEST_AGE, (), now - min(unacked, default=now))
        yield Sample(queue_rows.VISIBILITY_TIMEOUT, (), self.application.transport.current.visibility_timeout)

    def _own_samples(self) -> Iterator[Sample]:
        reaches = self.reaches_broker
        yield Sample(internals.EVENT_BACKLOG, (), self.backlog)
        if self.transport:
            yield Sample(internals.BROKER_UP, (self.transport,), float(reaches))
        for collector in ("control", "queue_discovery"):
            is_well = reaches and collector not in self.broken_collectors
            yield Sample(internals.COLLECTOR_SUCCESS, (collector,), float(is_well))
        for command in self.denied:
            yield Sample(internals.COMMAND_DENIED, ("broker", command), 1.0)

    def _query(self, workers: dict[str, Worker], *, everyone: bool) -> None:
        inspection = self.application.inspection
        with self.application.store.lock:
            for target in inspection.targets(everyone=everyone):
                worker = workers.get(target.worker)
                answers = worker.answer() if worker is not None and worker.answers else Answers()
                inspection.fold(target, answers)

    def _build(self) -> Application:
        settings = load(self._settings, {})
        clock = AgendaClock(self._agenda)
        application = Application(settings, Endpoints(settings, clock), clock)
        application.store.scalar(internals.BUILD_INFO, "1.0", "3.11", "5").value = 1
        return application

    def _report(self) -> Status:
        clock = AgendaClock(self._agenda)
        servers = Servers(clock, 0)

        def describe(found: Mapping[str, Sequence[Sample]], numbers: Numbers) -> list[ServerStatus]:
            servers.note(found)
            return servers.describe(found, numbers)

        return Status("1.0", clock, describe)


def _sample(row: Row) -> Sample:
    name, labels, value = row
    metric = CATALOG[name]
    return Sample(metric, tuple(labels.get(label, "") for label in metric.label_names), value)


def server_key(row: Row) -> tuple[Key, float]:
    """Return the series and the value of a server's row; fail if the catalogue has no such series."""
    name, labels, value = row
    known = CATALOG[name].label_names
    assert set(labels) <= set(known), (name, labels)
    return (name, tuple(labels.items())), value


def _key(metric: Metric, labels: tuple[str, ...]) -> Key:
    return metric.name, tuple(zip(metric.label_names, labels, strict=True))
