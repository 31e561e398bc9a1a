"""The state of everything, for people: what /metrics says, put together by worker, queue, task and server.

Takes the families of events, the samples of servers and their past, gives a ``Report``. Asks nobody, and has no number
that /metrics does not have.
"""

from celery_redis_exporter.status.status import MARKED, Snapshot, Status

__all__ = ["MARKED", "Snapshot", "Status"]
