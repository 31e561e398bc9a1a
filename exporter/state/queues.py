"""Queues: which are known, and how old their next message is.

Takes names from settings, events and bindings, and readings of their lengths; gives samples. Not thread-safe:
see state.
"""

from collections.abc import Callable, Iterable

from exporter.catalog import OVERFLOW, UNKNOWN
from exporter.catalog import queues as rows
from exporter.records import QueueReading, Sample
from exporter.state.tasks import Tasks

_NOT_QUEUES = {UNKNOWN, OVERFLOW}
REFUSED_KEPT = 10_000


class Queues:
    """Known queues, at most ``limit``; a queue once known is shown, with 0 when it is empty.

    ``refuse`` is called for each queue over the limit, once as long as its name is remembered.
    """

    def __init__(
        self, tasks: Tasks, names: Iterable[str], limit: int, refuse: Callable[[], None] = lambda: None
    ) -> None:
        self._tasks = tasks
        self._refuse = refuse
        self._refused: set[str] = set()
        self._limit = limit
        self._names: dict[str, None] = {}
        self._used_steps: dict[str, set[int]] = {}
        self._heads: dict[tuple[str, int], tuple[str, float]] = {}
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        """Get to know queues; those over the limit are refused."""
        for name in names:
            if name in self._names or name in self._refused:
                continue
            if len(self._names) < self._limit:
                self._names[name] = None
                continue
            if len(self._refused) >= REFUSED_KEPT:
                self._refused.clear()
            self._refused.add(name)
            self._refuse()

    def names(self) -> tuple[str, ...]:
        """Every known queue, those that tasks were sent to among them."""
        self.add(sorted(self._tasks.names.queues() - _NOT_QUEUES))
        return tuple(self._names)

    def used_steps(self, queue: str) -> tuple[int, ...]:
        """Priority steps whose next message is worth a look: the first, and those that have held one."""
        return tuple(sorted({0} | self._used_steps.get(queue, set())))

    def fold(self, reading: QueueReading, now: float) -> list[Sample]:
        """Fold one queue's reading, taken at ``now`` (epoch seconds), into its samples."""
        queue = reading.queue
        if not reading.lengths:
            return []
        used = self._used_steps.setdefault(queue, set())
        used.update(step for step, length in reading.lengths.items() if length and step)
        samples = [Sample(rows.QUEUE_LENGTH, (queue,), sum(reading.lengths.values()))]
        if used:
            samples += [
                Sample(rows.QUEUE_PRIORITY_LENGTH, (queue, str(step)), length)
                for step, length in reading.lengths.items()
            ]
        ages = [self._age(queue, step, task_id, now) for step, task_id in reading.oldest.items()]
        if ages:
            samples.append(Sample(rows.QUEUE_OLDEST_AGE, (queue,), max(ages)))
        elif not any(reading.lengths.values()):
            samples.append(Sample(rows.QUEUE_OLDEST_AGE, (queue,), 0))
        return samples

    def _age(self, queue: str, step: int, task_id: str, now: float) -> float:
        """Seconds since the message was published, or since it was first seen in this place."""
        known = self._heads.get((queue, step))
        if known is None or known[0] != task_id:
            known = self._heads[queue, step] = (task_id, now)
        sent_at = self._tasks.sent_at(task_id)
        return max(now - (known[1] if sent_at is None else sent_at), 0.0)
