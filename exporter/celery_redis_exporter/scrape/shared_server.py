# SPDX-License-Identifier: Apache-2.0
"""Read what is one application's on a Redis server that several applications use: its queues.

The server itself is read once for all of them, by another ``ServerScrape``. Connects the same layers as that one.
"""

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.redis_server import ServerScrape

TRANSPORT = "redis"


class SharedServerScrape(ServerScrape):
    """Read the parts only. Whether they could be read is shown as it is for a broker that is not Redis."""

    def _state(self, reason: str) -> list[Sample]:
        return [
            Sample(internals.BROKER_UP, (TRANSPORT,), 0 if reason else 1),
            Sample(internals.BROKER_LAST_SCRAPE_ERROR, (TRANSPORT, reason), 1 if reason else 0),
        ]

    def _duration(self, seconds: float) -> Sample:
        return Sample(internals.BROKER_LAST_SCRAPE_DURATION, (TRANSPORT,), seconds)
