# SPDX-License-Identifier: Apache-2.0
"""Queues: which are known, and how old their next message is.

Input: names from settings, events and bindings, and readings of lengths. Output: samples. Not thread-safe:
see state.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from typing import cast

from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN, Metric
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.records.replies import QueueCount, QueuedMessage, QueueReading
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.records.saved_state import SavedQueue
from celery_redis_exporter.state.routes import ANY_BROADCAST, BROADCAST
from celery_redis_exporter.state.tasks import Tasks

_LARGEST = {rows.QUEUE_OLDEST_AGE, rows.QUEUE_LENGTH_THRESHOLD, rows.QUEUE_WAIT_THRESHOLD}
"""Metrics of which the largest value counts where several queues have one shown name."""
_NOT_QUEUES = {UNKNOWN, OVERFLOW, ANY_BROADCAST}
REFUSED_KEPT = 10_000
MOST_BEHIND = 10
"""Queues that may be known for each one that may be shown: several can have one shown name."""
BROADCAST_SECONDS = 3600.0
"""Time to live of Broadcast queues: each start of a worker makes another."""
BINDINGS, CONSUMERS = "bindings", "consumers"
"""Where queues are held from, see ``Queues.hold``."""
CHECK_SECONDS = 60.0
"""Time between two looks for queues to forget."""


@dataclass(frozen=True, slots=True)
class QueueThresholds:
    """Messages, and seconds, that may wait in a queue, by shell pattern of its name; the first that fits counts."""

    length: tuple[tuple[str, float], ...] = ()
    wait: tuple[tuple[str, float], ...] = ()

    def samples(self, queue: str) -> Iterator[Sample]:
        """Yield the thresholds of a queue, by the name under which it is shown; none where no pattern fits."""
        for metric, patterns in ((rows.QUEUE_LENGTH_THRESHOLD, self.length), (rows.QUEUE_WAIT_THRESHOLD, self.wait)):
            for pattern, value in patterns:
                if fnmatchcase(queue, pattern):
                    yield Sample(metric, (queue,), value)
                    break


NO_THRESHOLDS = QueueThresholds()


class Queues:
    """Known queues, at most ``limit`` shown names; a known queue is shown, with 0 when it is empty.

    A queue is forgotten when it has had no binding, consumer, message and event for ``ttl`` seconds. The queues in
    ``names``, those of the settings, are never forgotten. ``refuse`` is called for each queue over the limit, once as
    long as its name is remembered. The tasks' naming says which queues are left out, and which are shown under one
    name.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- what is known from the start, and bounds
        self,
        tasks: Tasks,
        names: Iterable[str],
        limit: int,
        refuse: Callable[[], None] = lambda: None,
        ttl: float = inf,
        thresholds: QueueThresholds = NO_THRESHOLDS,
    ) -> None:
        self.routes = tasks.routes
        self._tasks = tasks
        self._naming = tasks.naming
        self._refuse = refuse
        self._refused: set[str] = set()
        self._limit = limit
        self._ttl = ttl
        self._thresholds = thresholds
        self._check_at = 0.0
        self._names: dict[str, float] = {}  # when each last had a sign of life, on the monotonic clock
        self._places: dict[str, set[str]] = {}  # the queues behind each shown name
        self._certain: set[str] = set()
        self._held: dict[str, AbstractSet[str]] = {}
        self._used_steps: dict[str, set[int]] = {}
        self._heads: dict[tuple[str, int], tuple[str, float]] = {}
        self._readings: dict[str, tuple[QueueReading, list[Sample]]] = {}  # the last readings, and their lengths
        self._named = -1  # revision of the tasks' names when their queues were added
        self.revision = 0
        """Grows with each queue that comes or goes, and with each step that is found in use."""
        self.add(names, certain=True)
        self._held["settings"] = frozenset(self._names)

    def add(self, names: Iterable[str], *, certain: bool = False) -> None:
        """Get to know queues; those over the limit are refused.

        Queues that are ``certain`` (of the settings, of bindings, of workers) take the place of one that only events
        name.
        """
        for name in names:
            if name not in self._names and not self._take(name, certain=certain):
                continue
            if certain:
                self._certain.add(name)

    def copy(self, now: float, wall: float) -> list[SavedQueue]:
        """Return every known queue; ``now`` (monotonic) is ``wall`` (epoch seconds)."""
        return [SavedQueue(name, wall - (now - seen), name in self._certain) for name, seen in self._names.items()]

    def restore(self, queue: SavedQueue, seen: float) -> None:
        """Get to know a queue that was saved, if there is room; ``seen`` (monotonic) is its last sign of life."""
        if queue.name not in self._names:
            self.add([queue.name], certain=queue.certain)
            if queue.name in self._names:
                self._names[queue.name] = seen

    def _take(self, name: str, *, certain: bool) -> bool:
        """Enter a new queue, if it is to be shown and there is room."""
        if self._naming.queue_shown(name) is None:
            return False
        shown = self.shown(name)
        is_full = len(self._places) >= self._limit and shown not in self._places
        if (is_full and not (certain and self._make_room())) or len(self._names) >= MOST_BEHIND * self._limit:
            self._count_refused(name)
            return False
        self._names[name] = self._tasks.now
        self._places.setdefault(shown, set()).add(name)
        self._refused.discard(name)
        self.revision += 1
        return True

    def _make_room(self) -> bool:
        """Forget the queues of a shown name that only events name; return whether there was one."""
        for names in self._places.values():
            if not names & self._certain:
                for name in list(names):
                    self._drop(name)
                    self._count_refused(name)
                return True
        return False

    def _drop(self, name: str) -> None:
        del self._names[name]
        self._certain.discard(name)
        self._used_steps.pop(name, None)
        self._readings.pop(name, None)
        for shown in [shown for shown, names in self._places.items() if name in names]:
            self._places[shown].discard(name)
            if not self._places[shown]:
                del self._places[shown]

    def _count_refused(self, name: str) -> None:
        if name in self._refused:
            return
        if len(self._refused) >= REFUSED_KEPT:
            self._refused.clear()
        self._refused.add(name)
        self._refuse()

    def hold(self, source: str, names: AbstractSet[str]) -> None:
        """Replace the queues that ``source`` has at this moment: they are not forgotten for as long as it has them."""
        self.add(sorted(names), certain=True)
        gone = self._held.get(source, frozenset()) - names
        self._held[source] = names & self._names.keys()
        self._certain -= set(gone).difference(*self._held.values())
        self._note(gone)

    def names(self) -> tuple[str, ...]:
        """Every known queue, those that tasks were sent to among them."""
        named = self._tasks.names.revision
        if named != self._named:
            self._named = named
            self.add(sorted(self._tasks.names.queues() - _NOT_QUEUES))
        return tuple(self._names)

    def known(self) -> tuple[str, ...]:
        """Every queue known so far, without a look for new ones."""
        return tuple(self._names)

    def shown(self, queue: str) -> str:
        """The name under which a known queue is shown."""
        shown = self._naming.queue_shown(queue) or queue
        return self.routes.shown(shown) if shown == queue else shown

    def used_steps(self, queue: str) -> tuple[int, ...]:
        """Priority steps whose next message is worth a look: the first, and those that have held one."""
        return tuple(sorted({0} | self._used_steps.get(queue, set())))

    def fold_all(self, readings: Sequence[QueueReading], now: float) -> list[Sample]:
        """Fold the readings of all queues, taken at ``now`` (epoch seconds), into samples under the names shown.

        Queues whose time is over are forgotten afterwards.
        """
        samples = [sample for reading in readings for sample in self.fold(reading, now)]
        self._note(reading.queue for reading in readings if any(reading.lengths.values()))
        self._forget()
        if not self._naming.queue.needed and len(self._places) == len(self._names):
            return samples
        values: dict[tuple[Metric, tuple[str, ...]], float] = {}
        for sample in samples:
            queue, *labels = sample.labels
            value = cast("float", sample.value)  # queues have no distributions
            key = (sample.metric, (self.shown(queue), *labels))
            if sample.metric in _LARGEST:
                values[key] = max(values.get(key, value), value)
            else:
                values[key] = values.get(key, 0) + value
        return [Sample(metric, labels, value) for (metric, labels), value in values.items()]

    def fold(self, reading: QueueReading, now: float) -> list[Sample]:
        """Fold one queue's reading, taken at ``now`` (epoch seconds), into its samples."""
        queue = reading.queue
        if not reading.lengths:
            return []
        known = self._readings.get(queue)
        if known is None or known[0] is not reading:
            known = self._readings[queue] = reading, self._lengths(reading)
        samples = [*known[1]]
        ages = [self._age(queue, step, message, now) for step, message in reading.oldest.items()]
        if ages:
            samples.append(Sample(rows.QUEUE_OLDEST_AGE, (queue,), max(ages)))
        elif not any(reading.lengths.values()):
            samples.append(Sample(rows.QUEUE_OLDEST_AGE, (queue,), 0))
        return samples

    def _lengths(self, reading: QueueReading) -> list[Sample]:
        queue = reading.queue
        used = self._used_steps.setdefault(queue, set())
        in_use = {step for step, length in reading.lengths.items() if length and step}
        if not in_use <= used:
            used |= in_use
            self.revision += 1
        samples = [Sample(rows.QUEUE_LENGTH, (queue,), sum(reading.lengths.values()))]
        samples += [Sample(row.metric, (queue,), row.value) for row in self._thresholds.samples(self.shown(queue))]
        if used:
            samples += [
                Sample(rows.QUEUE_PRIORITY_LENGTH, (queue, str(step)), length)
                for step, length in reading.lengths.items()
            ]
        return samples

    def fold_counts(self, counts: Iterable[QueueCount]) -> list[Sample]:
        """Fold queues as their broker counts them, which reports no priorities and no messages, under the names shown.

        Queues whose time is over are forgotten afterwards.
        """
        lengths: Counter[str] = Counter()
        consumers: Counter[str] = Counter()
        scheduled: Counter[str] = Counter()
        for count in counts:
            name = self.shown(count.queue)
            if self.routes.note_delayed(count.queue):
                scheduled[name] += count.messages
                continue
            lengths[name] += count.messages
            if count.consumers is not None:
                consumers[name] += count.consumers
            if count.messages or count.consumers:
                self._note([count.queue])
        self._forget()
        samples = [Sample(rows.QUEUE_LENGTH, (name,), length) for name, length in lengths.items()]
        samples += [sample for name in lengths for sample in self._thresholds.samples(name)]
        samples += [Sample(rows.QUEUE_SCHEDULED, (name,), number) for name, number in scheduled.items()]
        return [*samples, *(Sample(rows.QUEUE_CONSUMERS, (name,), number) for name, number in consumers.items())]

    def names_to_count(self) -> list[str]:
        """Return the queues whose broker counts them: the known ones, and those of native delayed delivery."""
        known = [name for name in self.names() if not self.routes.note_delayed(name)]
        return [*known, *self.routes.delayed_queues()]

    def consumed(self) -> AbstractSet[str]:
        """Return the queues that online workers consume."""
        return self._held.get(CONSUMERS, frozenset())

    def _note(self, queues: Iterable[str]) -> None:
        """Note signs of life of queues."""
        now = self._tasks.now
        self._names.update((queue, now) for queue in queues if queue in self._names)

    def _forget(self) -> None:
        """Forget queues without a sign of life for the time to live; what was refused may take their place."""
        now = self._tasks.now
        if now < self._check_at:
            return
        self._check_at = now + CHECK_SECONDS
        silent = {queue for queue, seen in self._names.items() if now - seen >= self._time_to_live(queue)}
        gone = silent.difference(*self._held.values(), self._tasks.names.queues()) if silent else silent
        for queue in gone:
            self._drop(queue)
        if gone:
            self._heads = {place: head for place, head in self._heads.items() if place[0] not in gone}
            self.revision += 1
            self._named = -1

    def _time_to_live(self, queue: str) -> float:
        return min(self._ttl, BROADCAST_SECONDS) if queue.startswith(BROADCAST) else self._ttl

    def _age(self, queue: str, step: int, message: QueuedMessage, now: float) -> float:
        """Seconds since the message was published, or since it was first seen in this place."""
        known = self._heads.get((queue, step))
        if known is None or known[0] != message.task_id:
            known = self._heads[queue, step] = (message.task_id, now)
        sent_at = self._tasks.tracked.sent_at(message.task_id) if message.published_at is None else message.published_at
        return max(now - (known[1] if sent_at is None else sent_at), 0.0)
