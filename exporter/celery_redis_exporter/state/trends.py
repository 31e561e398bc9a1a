# SPDX-License-Identifier: Apache-2.0
"""Keep the last readings of each Redis server, for trends without Prometheus.

Input: values and times. Output: readings, at most READINGS per server, at least SPACING seconds apart.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from celery_redis_exporter.records.report import TrendReading

READINGS = 100
SPACING = 5.0
"""The shortest time between two readings, in seconds. Otherwise several scrapers would shorten the trend."""


class Counts(NamedTuple):
    """What the server counts since its start: commands, and look-ups that hit and that missed.

    ``own_hits`` and ``own_misses`` are the look-ups that the exporter caused.
    """

    commands: float
    hits: float = 0.0
    misses: float = 0.0
    own_hits: float = 0.0
    own_misses: float = 0.0

    @property
    def hit_ratio(self) -> float | None:
        """Return the share of the clients' look-ups that hit; None without any, or if most were the exporter's.

        The exporter's are counted a moment later than the server counts them, so that the difference is inexact.
        """
        hits, misses = max(self.hits - self.own_hits, 0.0), max(self.misses - self.own_misses, 0.0)
        return hits / (hits + misses) if hits + misses > self.own_hits + self.own_misses else None


class Trends:
    """The readings by server."""

    def __init__(self) -> None:
        self._readings: dict[str, deque[TrendReading]] = {}
        self._counts: dict[str, Counts] = {}

    def wants(self, server: str, at: float) -> bool:
        """Return True if a reading at the epoch time ``at`` would be kept. It is kept if the clock was set back."""
        readings = self._readings.get(server)
        return not readings or not 0 <= at - readings[-1].at < SPACING

    def note(self, server: str, at: float, used_bytes: float, counts: Counts) -> None:
        """Keep a reading at the epoch time ``at``."""
        readings = self._readings.setdefault(server, deque(maxlen=READINGS))
        before = self._counts.get(server)
        self._counts[server] = counts
        hit_ratio = operations = None
        if before is not None and all(now >= then for now, then in zip(counts, before, strict=True)):
            grown = Counts(*(now - then for now, then in zip(counts, before, strict=True)))
            hit_ratio = grown.hit_ratio
            elapsed = at - readings[-1].at
            operations = grown.commands / elapsed if elapsed > 0 else None
        readings.append(TrendReading(at, used_bytes, hit_ratio, operations))

    def of(self, server: str) -> list[TrendReading]:
        """Return a server's readings, the oldest first."""
        return list(self._readings.get(server, ()))

    def keep(self, servers: Iterable[str]) -> None:
        """Forget all other servers."""
        kept = set(servers)
        for server in self._readings.keys() - kept:
            del self._readings[server]
            self._counts.pop(server, None)
