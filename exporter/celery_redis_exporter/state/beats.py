"""Beats: which schedulers answer, and which did and do not any more.

Takes the names of those that answered a round of questions; gives series. Not thread-safe: see state.
"""

from collections.abc import Collection

from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.state.series import Store


class Beats:
    """Schedulers by node name; one that does not answer is shown as such for ``retention`` seconds."""

    def __init__(self, store: Store, clock: Clock, retention: float, limit: int = 100) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._limit = limit
        self._seen: dict[str, float] = {}

    def known(self) -> frozenset[str]:
        """Those that answered and are not forgotten."""
        return frozenset(self._seen)

    def note(self, answered: Collection[str]) -> None:
        """Note who answered a round."""
        now = self._clock.monotonic()
        for name in answered:
            if name in self._seen or len(self._seen) < self._limit:
                self._seen[name] = now
            else:
                self._store.refuse(rows.BEAT_UP)
        for name, seen in list(self._seen.items()):
            if now - seen >= self._retention and name not in answered:
                del self._seen[name]
                self._store.discard(rows.BEAT_UP, (name,))
            else:
                self._store.scalar(rows.BEAT_UP, name).value = float(name in answered)
