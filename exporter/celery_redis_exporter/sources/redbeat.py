# SPDX-License-Identifier: Apache-2.0
"""Read RedBeat's schedule on Redis: the definitions of periodic tasks.

RedBeat keeps a sorted set of its entries' keys, ``{prefix}:schedule``, and for each entry a hash with ``definition``,
which is JSON. A read sends one ZRANGE, then an HGET per entry in batches: O(entries), at a dedicated interval, in the
background. Needs ``+zrange +hget`` and read permission on ``{prefix}*``. Runs in the caller's thread. A failure raises
SourceError.
"""

from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

BATCH = 500


class RedBeat:
    """Read the schedule of the application whose ``redbeat_key_prefix`` is ``prefix``, at most ``limit`` entries."""

    def __init__(self, session: Session, prefix: str, limit: int, deadline: float) -> None:
        self._session = session
        self._schedule = f"{prefix}:schedule"
        self._limit = limit
        self._deadline = deadline

    def definitions(self) -> list[bytes]:
        """Return the definition of every entry. One that was deleted meanwhile is left out. Raises SourceError."""
        (keys,) = self._exchange([("ZRANGE", self._schedule, 0, self._limit - 1)])
        found: list[bytes] = []
        for start in range(0, len(keys), BATCH):
            replies = self._exchange([("HGET", key, "definition") for key in keys[start : start + BATCH]])
            found += [reply for reply in replies if isinstance(reply, bytes)]
        return found

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._session.close()

    def _exchange(self, commands: list[Command]) -> list[list[bytes] | bytes]:
        replies = self._session.exchange(commands, self._deadline)
        refused = next((reply for reply in replies if isinstance(reply, Refusal)), None)
        if refused is not None:
            raise refused.as_error(f"{commands[0][0]!s} {self._schedule}")
        return replies
