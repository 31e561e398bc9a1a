# SPDX-License-Identifier: Apache-2.0
"""Combine the samples of the servers and those read in the background into families.

Input: the reads of all servers. Output: families to render. Observers receive the servers' samples of each scrape.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from celery_redis_exporter.exposition.families import SampleGrouper
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.records.static_labels import StaticLabels
from celery_redis_exporter.scrape.server_reads import PendingReads, ServerReads

Background = Callable[[], Sequence[Sample]]
"""Returns samples that were read in the background, without waiting. Thread-safe."""
Observer = Callable[[Mapping[str, Sequence[Sample]]], None]
"""Receives the samples of a scrape, by server. Thread-safe."""


class Scrape:
    """Read every server, and add the samples of ``background``.

    ``observers`` are called before these are added. ``labels`` are on every sample.
    """

    def __init__(
        self,
        reads: ServerReads,
        background: Iterable[Background],
        observers: Iterable[Observer],
        labels: StaticLabels,
    ) -> None:
        self._reads = reads
        self._background = tuple(background)
        self._observers = tuple(observers)
        self._grouper = SampleGrouper(labels=labels)

    def request(self, deadline: float) -> PendingReads:
        """Request a read of every server, which may take ``deadline`` seconds. Returns at once."""
        return self._reads.request(deadline)

    def background(self) -> list[Sample]:
        """Return all samples that were read in the background."""
        return [sample for samples in self._background for sample in samples()]

    def group(self, found: Mapping[str, Sequence[Sample]]) -> list[Family]:
        """Return the families of the servers' samples ``found`` and of those read in the background."""
        for observe in self._observers:
            observe(found)
        return self._grouper.group(chain(chain.from_iterable(found.values()), self.background()))
