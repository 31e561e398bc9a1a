"""A Redis server's memory: how much is used, and the request to give back what is not.

Sends INFO memory, cheap and a read, and MEMORY PURGE, which makes the allocator return unused pages to the system:
it holds the server up for some milliseconds, more where much is returned, and needs ``+memory|purge``. Lives in its
caller's thread; a failure raises SourceError.
"""

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

PURGE: Command = ("MEMORY", "PURGE")


def read_memory(session: Session, deadline: float) -> bytes:
    """Give INFO memory as it comes; raise SourceError."""
    (reply,) = session.exchange([("INFO", "memory")], deadline)
    if isinstance(reply, Refusal):
        raise reply.as_error("INFO memory")
    if not isinstance(reply, bytes):
        raise SourceError("protocol", "INFO memory: an answer that is no text")
    return reply


def purge_memory(session: Session, deadline: float) -> None:
    """Send MEMORY PURGE; raise SourceError, also where it is refused."""
    (reply,) = session.exchange([PURGE], deadline)
    if isinstance(reply, Refusal):
        raise reply.as_error("MEMORY PURGE")
