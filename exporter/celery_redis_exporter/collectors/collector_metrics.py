# SPDX-License-Identifier: Apache-2.0
"""Report how a background collector is doing, in the same metrics for each: ``celery_exporter_collector_*``.

Input: the outcome of a run. Output: series. The caller holds the store's lock.
"""

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.state.series import Store


class CollectorMetrics:
    """The metrics of the collector called ``name``."""

    def __init__(self, store: Store, clock: Clock, name: str) -> None:
        self._store = store
        self._clock = clock
        self._name = name

    def succeeded(self, started: float) -> None:
        """Record a run that began at the monotonic time ``started`` and succeeded."""
        self._end(started, success=True)
        self._store.scalar(internals.COLLECTOR_LAST_SUCCESS, self._name).value = self._clock.now()

    def failed(self, started: float | None = None) -> None:
        """Record a run that failed. Its duration is recorded too if ``started``, a monotonic time, is passed."""
        self._end(started, success=False)

    def _end(self, started: float | None, *, success: bool) -> None:
        self._store.scalar(internals.COLLECTOR_SUCCESS, self._name).value = float(success)
        if started is not None:
            self._store.scalar(internals.COLLECTOR_DURATION, self._name).value = self._clock.monotonic() - started
