# SPDX-License-Identifier: Apache-2.0
"""A simulated server with many keys of skewed sizes, and sweeps over it by the production code.

Input: the number of keys and a seed. Output: per run and group the true memory and the estimate after one sweep. The
order of SCAN is that of a keyed hash; here each run shuffles the keys. The heaviest keys, one in a thousand, are not
part of the server: samples do not find single giant keys, as the documentation states.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from celery_redis_exporter.collectors.key_sweep import KeyBudget, KeyNames, KeySweep
from celery_redis_exporter.decode.key_groups import KeyClassifier
from celery_redis_exporter.settings.schema.key_space import KeySpaceOptions
from celery_redis_exporter.sources.key_space import Batch, KeySpaceReader, Measured, Walk
from celery_redis_exporter.state.key_groups import KeyGroups
from tests.support.fakes import FakeClock
from tests.support.options import celery_names

PER_BATCH = 300
LEFT_OUT = 0.001
LEAST_SHARE = 0.01
"""Share of all memory that a group needs to be judged."""
OPTIONS = KeySpaceOptions()
NAMES = KeyNames(celery_names(), {})


@dataclass(frozen=True, slots=True)
class Population:
    """One group of keys: its share of the names, the median size in bytes, and the spread of the sizes' logarithm."""

    name: str
    share: float
    median: float
    spread: float


POPULATIONS = (
    Population("celery-task-meta-{}", 0.62, 600, 0.6),
    Population("session:{}", 0.2, 300, 1.0),
    Population("market:{}", 0.1, 900, 1.5),
    Population("candles:{}", 0.05, 4_000, 1.2),
    Population("lock:{}", 0.0295, 64, 0.1),
    Population("report:{}", 0.0005, 200_000, 1.0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One group after one sweep, in bytes; ``error`` is half the width of the shown interval, as a ratio."""

    group: str
    truth: float
    estimate: float
    error: float

    @property
    def miss(self) -> float:
        """Return the estimate's distance from the truth, as a ratio to the truth."""
        return abs(self.estimate - self.truth) / self.truth

    @property
    def is_covered(self) -> bool:
        """Return whether the shown interval contains the truth."""
        return abs(self.estimate - self.truth) <= self.error * self.estimate


class SimulatedReader:
    """A replacement for ``KeySpaceReader`` that reads a list of (name, size) in the order of SCAN."""

    def __init__(self, keys: Sequence[tuple[bytes, int]]) -> None:
        self._keys = keys
        self._sizes = dict(keys)
        self._next = 0

    def next_batch(self, _walk: Walk, _total: int, keys: Sequence[bytes], segments: int) -> Batch:  # noqa: ARG002 -- as the original
        """Return the next names; the sweep starts again after the last one."""
        begin = self._next
        names = [name for name, _ in self._keys[begin : begin + PER_BATCH]]
        self._next = begin + PER_BATCH
        return Batch(names, self._measured(keys), begin / len(self._keys), self._next >= len(self._keys), 0.0)

    def measure(self, _db: int, keys: Sequence[bytes]) -> tuple[list[Measured], float]:
        """Return the sizes of keys."""
        return self._measured(keys), 0.0

    def _measured(self, keys: Sequence[bytes]) -> list[Measured]:
        return [Measured(self._sizes[key], -1) for key in keys]


def populate(count: int, seed: int) -> list[tuple[bytes, int]]:
    """Return about ``count`` keys with their sizes, without the heaviest one in a thousand."""
    source = random.Random(seed)  # noqa: S311 -- a simulation
    keys = []
    for population in POPULATIONS:
        before, after = population.name.encode().split(b"{}")
        for number in range(round(count * population.share)):
            size = population.median * source.lognormvariate(0, population.spread)
            keys.append((b"%s%08d%s" % (before, number, after), max(int(size), 56)))
    keys.sort(key=lambda key: key[1])
    return keys[: len(keys) - round(len(keys) * LEFT_OUT)]


def sweep_once(keys: Sequence[tuple[bytes, int]]) -> Iterator[Outcome]:
    """Sweep over all keys with the default budget, and yield each group whose share is large enough to be judged."""
    sweep = KeySweep(0, NAMES, KeyGroups(OPTIONS.max_groups))
    reader = cast("KeySpaceReader", SimulatedReader(keys))
    budget = KeyBudget(OPTIONS.max_keys, OPTIONS.max_measured, busy=1.0, duty=1.0, wall=1e9)
    clock, stop = FakeClock(), threading.Event()
    while sweep.go_on(reader, len(keys), budget, clock, stop) != "complete":
        pass
    classify, truth = KeyClassifier(NAMES.celery, NAMES.patterns).classify, Counter[str]()
    for name, size in keys:
        truth[classify(name)] += size
    least = LEAST_SHARE * sum(truth.values())
    for each in sweep.groups.estimates(sweep.total):
        if truth[each.group] > least and each.memory is not None:
            yield Outcome(each.group, truth[each.group], each.memory, each.memory_error or 0.0)
