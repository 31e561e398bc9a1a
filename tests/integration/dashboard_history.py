# SPDX-License-Identifier: Apache-2.0
"""Generate series as OpenMetrics text, for ``promtool tsdb create-blocks-from``.

Input: functions of the time. Output: lines with timestamps. A metric or a label that is not in the catalogue raises, so
that history can't show what an exporter could not. The same story always yields the same values.
"""

import math
import random
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise

from celery_redis_exporter.catalog import CATALOG, Kind

Level = Callable[[float], float]
"""A value by the hours since the start."""
Course = Callable[[float], float | None]
"""A value by the hours since the start, or None if there is no sample."""
FOREIGN = ("ALERTS", "up")
FOREIGN_PREFIXES = ("process_", "python_", "scrape_")
TARGET = {"job": "celery", "instance": "celery-exporter:9808"}
SPREAD = 0.7
"""Standard deviation of the logarithm of a duration."""
MEAN = math.exp(SPREAD**2 / 2)
"""Mean of durations around 1."""
LEAD = 900
"""Seconds of samples before the start, so that the first rates in a graph have earlier values."""


class History:
    """Series over some hours and a lead, a sample every ``step`` seconds. The story begins at its hour ``since``."""

    def __init__(self, start: float, end: float, step: int, since: float = 0.0) -> None:
        self._times = range(int(start) - LEAD, int(end) + 1, step)
        self._start, self._step = start - since * 3600, step
        self._lines: list[str] = []

    def gauge(self, name: str, course: Course, **labels: str) -> None:
        """Add a gauge."""
        self._check(name, labels)
        self._write(name, labels, ((time, course(self._hours(time))) for time in self._times))

    def stamp(self, name: str, age: Level, **labels: str) -> None:
        """Add a timestamp that is ``age`` seconds old."""
        self._check(name, labels)
        self._write(name, labels, ((time, time - age(self._hours(time))) for time in self._times))

    def counter(self, name: str, rate: Level, **labels: str) -> None:
        """Add a counter. ``rate`` is its growth per second."""
        self._check(name, labels)
        self._write(name, labels, self._sums(lambda hours: rate(hours) * self._step))

    def histogram(self, name: str, rate: Level, median: Level, **labels: str) -> None:
        """Add a histogram of ``rate`` observations per second around ``median``. Counts are whole numbers."""
        self._check(name, labels)
        bounds = (*CATALOG[name].buckets, math.inf)
        expected, counts, total = [0.0] * len(bounds), [0] * len(bounds), 0.0
        rows: dict[str, list[tuple[int, float]]] = {f"{name}_count": [], f"{name}_sum": []}
        rows |= {_bucket(bound): [] for bound in bounds}
        for time in self._times:
            hours = self._hours(time)
            grown, middle, before = rate(hours) * self._step, median(hours), sum(counts)
            shares = [_share(bound, middle) for bound in bounds]
            for place, (below, share) in enumerate(pairwise([0.0, *shares])):
                expected[place] += grown * (share - below)
                counts[place] = int(expected[place])
            total += (sum(counts) - before) * middle * MEAN
            for bound, count in zip(bounds, accumulate(counts), strict=True):
                rows[_bucket(bound)].append((time, count))
            rows[f"{name}_count"].append((time, sum(counts)))
            rows[f"{name}_sum"].append((time, total))
        for row, samples in rows.items():
            full = row if row.startswith(name) else f"{name}_bucket"
            self._write(full, labels if full == row else {**labels, "le": row}, iter(samples))

    @property
    def seconds_of_a_step(self) -> int:
        """Return the seconds between two samples."""
        return self._step

    @property
    def hours_of_a_step(self) -> float:
        """Return the hours between two samples."""
        return self._step / 3600

    def render(self) -> str:
        """Return the text of all series."""
        return "\n".join([*self._lines, "# EOF", ""])

    def _sums(self, growth: Level) -> Iterator[tuple[int, float]]:
        total = 0.0
        yield self._times[0], total
        for _, time in pairwise(self._times):
            total += growth(self._hours(time))
            yield time, total

    def _hours(self, time: int) -> float:
        return (time - self._start) / 3600

    def _write(self, name: str, labels: dict[str, str], samples: Iterator[tuple[int, float | None]]) -> None:
        pairs = ",".join(f'{key}="{value}"' for key, value in (TARGET | labels).items())
        head = f"{name}{{{pairs}}}"
        self._lines += [f"{head} {value:.12g} {time}" for time, value in samples if value is not None]

    def _check(self, name: str, labels: dict[str, str]) -> None:
        if name in FOREIGN or name.startswith(FOREIGN_PREFIXES):
            return
        metric = CATALOG[name]
        added = {"quantile"} if metric.kind is Kind.SUMMARY else set()
        assert {label.name for label in metric.labels} | added == set(labels), name


def noisy(level: float, share: float = 0.08, seed: str = "") -> Level:
    """Return a level with noise: slow changes over a day, and quick random ones."""
    chance = random.Random(f"{level} {share} {seed}")  # noqa: S311 -- a picture, no secret
    phase, quick = chance.uniform(0, 6), [chance.uniform(-share, share) for _ in range(97)]
    return lambda hours: level * (1 + 2 * share * math.sin(hours + phase) + quick[int(hours * 60) % 97])


def constant(value: float) -> Level:
    """Return a level that never changes."""
    return lambda _: value


def scaled(level: Level, factor: float) -> Level:
    """Return a share or a multiple of a level, in whole numbers."""
    return lambda hours: round(level(hours) * factor)


def _bucket(bound: float) -> str:
    return "+Inf" if bound == math.inf else repr(float(bound))


def _share(bound: float, median: float) -> float:
    if bound == math.inf:
        return 1.0
    return 0.5 * (1 + math.erf((math.log(bound) - math.log(median)) / (SPREAD * math.sqrt(2))))
