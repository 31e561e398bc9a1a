# SPDX-License-Identifier: Apache-2.0
"""Read the masters that a sentinel watches, besides its INFO.

Connects sources.refusals -> decode.sentinel. The commands travel in the sentinel's one round trip. Those about a master
are sent once its name is known, which is from the second scrape on. Needs ``+sentinel|masters +sentinel|ckquorum
+sentinel|sentinels +sentinel|slaves`` for the sentinels' user.
"""

from typing import Any

from celery_redis_exporter.decode import sentinel as decode
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.wire import Command

MOST_MASTERS = 100
"""The maximum number of masters that are queried one by one. INFO contains the basic numbers of all masters."""


class SentinelRead:
    """Read the sentinel called ``redis``."""

    def __init__(self, redis: str) -> None:
        self._redis = redis
        self._masters: list[str] = []

    def commands(self) -> list[Command]:
        """Return INFO sentinel, SENTINEL MASTERS, and three commands for each master."""
        commands: list[Command] = [("INFO", "sentinel"), ("SENTINEL", "MASTERS")]
        for name in self._masters:
            commands += [("SENTINEL", word, name) for word in ("CKQUORUM", "SENTINELS", "SLAVES")]
        return commands

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return the samples of each master, without those of refused commands."""
        info, listed, *rest = replies
        samples = decode.decode_sentinel_info(self._redis, info)
        answers = {name: rest[3 * place : 3 * place + 3] for place, name in enumerate(self._masters)}
        masters = decode.decode_masters(listed)[:MOST_MASTERS]
        for master in masters:
            samples += decode.decode_master(self._redis, master)
            if master["name"] in answers:
                quorum, sentinels, slaves = answers[master["name"]]
                refusal = str(quorum) if isinstance(quorum, Refusal) else ""
                samples += decode.decode_quorum(self._redis, master, quorum, refusal)
                samples += decode.decode_peers(self._redis, master, sentinels, slaves)
        self._masters = [master["name"] for master in masters]
        return samples
