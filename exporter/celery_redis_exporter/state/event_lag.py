# SPDX-License-Identifier: Apache-2.0
"""Measure event lag: the time from an event's timestamp, by its sender's clock, to its folding, by the exporter's.

Input: timestamps, and both clocks of the exporter. Output: observations of ``celery_exporter_event_lag_seconds``. A
difference between the clocks counts as lag, as it can't be distinguished. A step of the exporter's clock can, because
the wall clock then differs from the monotonic one. Not thread-safe: see state.
"""

from collections.abc import Sequence

from celery_redis_exporter.state.histograms import Histogram

LEAST_STEP = 1.0
"""The smallest step in seconds. Smaller ones are NTP's permanent corrections."""


class EventLag:
    """Observe the lag of events in ``histogram``."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._offset: float | None = None  # The difference of the wall clock from the monotonic one.
        self._stepped = 0.0  # The seconds by which the clock was set since it agreed with the senders'.

    def observe(self, stamps: Sequence[float], now: float, monotonic: float) -> None:
        """Observe events with the timestamps ``stamps``, folded at ``now`` (epoch seconds) and ``monotonic``."""
        if not stamps:
            return
        offset = now - monotonic
        step = 0.0 if self._offset is None else offset - self._offset
        if abs(step) < LEAST_STEP:
            stepped = self._stepped
        else:  # The senders may use the same clock, which was set for them too. Then the lag has not changed.
            lag = now - max(stamps)
            stepped = min(self._stepped, self._stepped + step, key=lambda seconds: abs(lag - seconds))
        self._offset, self._stepped = offset, stepped
        now -= stepped
        self._histogram.observe_all([now - stamp if stamp < now else 0.0 for stamp in stamps])
