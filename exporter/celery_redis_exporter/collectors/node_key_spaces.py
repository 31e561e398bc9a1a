"""The key space of a server that may be a cluster: its own, or those of the cluster's masters, one after the other.

Connects ``collectors.key_space`` with the nodes that were found. Input: the masters of the moment. Output: samples,
each under the name of its node. One thread looks at all masters of a cluster, so that a cycle over many may take longer
than its interval.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.key_space import FIRST_PAUSE, RETRY_SECONDS, KeySpace
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.records.samples import Sample


class NodeKeySpaces:
    """Looks at ``seed``, or at the ``masters`` of its cluster by name, for which ``make`` builds samplers."""

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
        """Make a cycle over all masters every ``interval`` seconds until ``stop`` is set; raise SourceError."""
        if self._due is None:
            self._due = self._clock.monotonic() + min(FIRST_PAUSE, self._interval)
        while not stop.wait(max(self._due - self._clock.monotonic(), 0.0)):
            started = self._clock.monotonic()
            self._due = started + min(self._interval, RETRY_SECONDS)
            self.cycle(stop)
            works()
            self._due = started + self._interval

    def cycle(self, stop: threading.Event) -> None:
        """Go on with each of them; raise the SourceError of the last that failed."""
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
        """Return what is known; safe from any thread."""
        spaces = tuple(self._spaces.values()) or (self.seed,)
        return [sample for space in spaces for sample in space.samples()]

    def close(self) -> None:
        """Close the connections; safe from any thread."""
        for space in (self.seed, *tuple(self._spaces.values())):
            space.close()

    def _follow(self) -> list[KeySpace]:
        """Take over the masters of the moment; return what is to be looked at."""
        masters, before = self._masters(), self._spaces
        self._spaces = {name: before.get(name) or self._make(name, masters[name]) for name in sorted(masters)}
        for name in before.keys() - masters.keys():
            before[name].close()
        return list(self._spaces.values()) or [self.seed]
