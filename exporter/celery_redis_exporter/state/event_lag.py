"""Event lag: the time from an event's stamp, by its sender's clock, to its folding, by ours.

Takes stamps and both of our clocks, gives observations of ``celery_exporter_event_lag_seconds``. A difference between
the clocks counts as lag, as it can't be distinguished. A step of our clock can: it shows between the wall clock and the
monotonic one. Not thread-safe: see state.
"""

from collections.abc import Sequence

from celery_redis_exporter.state.series import Histogram

LEAST_STEP = 1.0
"""Seconds; what is less is the correction that NTP makes all the time."""


class EventLag:
    """Observes the lag of events in ``histogram``."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._offset: float | None = None  # of our wall clock from the monotonic one
        self._stepped = 0.0  # by which our clock was set since it agreed with the senders'

    def observe(self, stamps: Sequence[float], now: float, monotonic: float) -> None:
        """Observe events stamped at ``stamps`` and folded ``now`` (epoch seconds)."""
        if not stamps:
            return
        offset = now - monotonic
        step = 0.0 if self._offset is None else offset - self._offset
        if abs(step) < LEAST_STEP:
            stepped = self._stepped
        else:  # the senders' clocks may be ours, and stepped as well: then the lag is as before
            lag = now - max(stamps)
            stepped = min(self._stepped, self._stepped + step, key=lambda seconds: abs(lag - seconds))
        self._offset, self._stepped = offset, stepped
        now -= stepped
        self._histogram.observe_all([now - stamp if stamp < now else 0.0 for stamp in stamps])
