# SPDX-License-Identifier: Apache-2.0
"""Read the list of a Redis Cluster's nodes.

Sends INFO server, and CLUSTER NODES if the server is in cluster mode. CLUSTER NODES is O(nodes). Runs in the background
at a dedicated interval. Needs ``+info +cluster|nodes``. Over TLS the reply contains the TLS ports. Runs in the caller's
thread. A failure raises SourceError.
"""

from celery_redis_exporter.catalog.server_fields import mode_of
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

NODES: Command = ("CLUSTER", "NODES")


def read_nodes(session: Session, deadline: float) -> bytes | None:
    """Return the reply to CLUSTER NODES, or None from a server that is not in a cluster. Raises SourceError."""
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
