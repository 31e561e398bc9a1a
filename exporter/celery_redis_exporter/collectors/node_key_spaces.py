# SPDX-License-Identifier: Apache-2.0
"""Sample the key space of a server, or of all masters of its cluster, one after the other.

Connects ``collectors.key_space`` with the nodes that were found. Input: the current masters. Output: samples, each
under the name of its node. One thread reads all masters of a cluster, so that a cycle over many may take longer than
its interval.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.key_space import FIRST_PAUSE, RETRY_SECONDS, KeySpace
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.records.samples import Sample


class NodeKeySpaces:
    """Sample ``seed``, or the ``masters`` of its cluster by name, for which ``make`` builds samplers."""

    def __init__(
        self,
        seed: KeySpace,
        masters: Callable[[], Mapping[str, Address]],
        make: Callable[[str, Address], KeySpace],
        interval: float,
        clock: Clock,
    ) -> None:
        self.seed = seed
        self.name = seed.name
        self._masters = masters
        self._make = make
        self._interval = interval
        self._clock = clock
        self._due: float | None = None
        self._spaces: dict[str, KeySpace] = {}

    def run(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Run a cycle over all masters every ``interval`` seconds until ``stop`` is set. Raises SourceError."""
        if self._due is None:
            self._due = self._clock.monotonic() + min(FIRST_PAUSE, self._interval)
        while not stop.wait(max(self._due - self._clock.monotonic(), 0.0)):
            started = self._clock.monotonic()
            self._due = started + min(self._interval, RETRY_SECONDS)
            self.cycle(stop)
            works()
            self._due = started + self._interval

    def cycle(self, stop: threading.Event) -> None:
        """Continue the sweep of each master. Raises the SourceError of the last one that failed."""
        failure: SourceError | None = None
        for space in self._follow():
            if stop.is_set():
                return
            try:
                space.cycle(stop)
            except SourceError as error:
                failure = error
        if failure is not None:
            raise failure

    def samples(self) -> Sequence[Sample]:
        """Return the last results. Thread-safe."""
        spaces = tuple(self._spaces.values()) or (self.seed,)
        return [sample for space in spaces for sample in space.samples()]

    def close(self) -> None:
        """Close the connections. Thread-safe."""
        for space in (self.seed, *tuple(self._spaces.values())):
            space.close()

    def _follow(self) -> list[KeySpace]:
        """Update the samplers to the current masters. Return the samplers to run."""
        masters, before = self._masters(), self._spaces
        self._spaces = {name: before.get(name) or self._make(name, masters[name]) for name in sorted(masters)}
        for name in before.keys() - masters.keys():
            before[name].close()
        return list(self._spaces.values()) or [self.seed]
