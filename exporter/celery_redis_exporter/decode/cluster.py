"""CLUSTER NODES, turned into addresses.

A line is ``<id> <ip>:<port>@<bus port>[,<hostname>] <flags> <master> ...``; IPv6 addresses have no brackets.
"""

from celery_redis_exporter.decode.redis_fields import read_whole
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import Address

_UNREACHABLE = frozenset({"noaddr", "handshake"})
LARGEST_PORT = 65_535


def decode_cluster_nodes(text: bytes, asked: Address) -> list[Address]:
    """Give the addresses of all nodes, in order; ``asked`` is that of a node that does not know its own yet.

    Raises DecodeError (schema) where a line is no node's.
    """
    found = []
    for line in text.decode("utf-8", "replace").splitlines():
        parts = line.split(" ")
        if len(parts) < 8:
            raise DecodeError("schema", "CLUSTER NODES: a line that is no node's")
        flags = set(parts[2].split(","))
        if flags & _UNREACHABLE:
            continue
        host, _, told = parts[1].partition("@")[0].rpartition(":")
        port = read_whole(told)
        if port is None or not 0 < port <= LARGEST_PORT:
            raise DecodeError("schema", "CLUSTER NODES: a node without host and port")
        if host or "myself" in flags:
            found.append(Address(host, port) if host else asked)
    return sorted(set(found))
