"""Which nodes a Redis Cluster has.

Sends INFO server, and CLUSTER NODES where that says cluster mode; O(nodes), at its own interval, in the background.
Needs ``+info +cluster|nodes``. Over TLS the answer names TLS ports. Lives in its caller's thread; a failure raises
SourceError.
"""

from celery_redis_exporter.catalog.server_fields import mode_of
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

NODES: Command = ("CLUSTER", "NODES")


def read_nodes(session: Session, deadline: float) -> bytes | None:
    """Give the answer to CLUSTER NODES, None from a server that is in no cluster; raise SourceError."""
    (info,) = _exchange(session, ("INFO", "server"), deadline)
    if mode_of(info) != "cluster":
        return None
    (nodes,) = _exchange(session, NODES, deadline)
    return nodes


def _exchange(session: Session, command: Command, deadline: float) -> list[bytes]:
    (reply,) = session.exchange([command], deadline)
    if isinstance(reply, Refusal):
        raise reply.as_error(" ".join(str(word) for word in command))
    if not isinstance(reply, bytes):
        raise SourceError("protocol", f"{command[0]!s}: an answer that is no text")
    return [reply]
