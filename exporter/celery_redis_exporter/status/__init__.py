# SPDX-License-Identifier: Apache-2.0
"""Build the status report: the numbers of /metrics, grouped by worker, queue, task and server.

Input: the families of events, the samples of servers, and their history. Output: a ``Report``. No server is queried,
and every number is one that /metrics has too.
"""

from celery_redis_exporter.status.status import MARKED, Snapshot, Status

__all__ = ["MARKED", "Snapshot", "Status"]
