# SPDX-License-Identifier: Apache-2.0
"""Read a Redis server's memory use, and make its allocator return unused pages.

Sends INFO memory, which is cheap and only reads, and MEMORY PURGE, which makes the allocator return unused pages to the
system. MEMORY PURGE blocks the server for some milliseconds, longer if it returns much, and needs ``+memory|purge``.
Runs in the caller's thread. A failure raises SourceError.
"""

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

PURGE: Command = ("MEMORY", "PURGE")


def read_memory(session: Session, deadline: float) -> bytes:
    """Return the raw reply to INFO memory. Raises SourceError."""
    (reply,) = session.exchange([("INFO", "memory")], deadline)
    if isinstance(reply, Refusal):
        raise reply.as_error("INFO memory")
    if not isinstance(reply, bytes):
        raise SourceError("protocol", "INFO memory: an answer that is no text")
    return reply


def purge_memory(session: Session, deadline: float) -> None:
    """Send MEMORY PURGE. Raises SourceError, also if it is refused."""
    (reply,) = session.exchange([PURGE], deadline)
    if isinstance(reply, Refusal):
        raise reply.as_error("MEMORY PURGE")
