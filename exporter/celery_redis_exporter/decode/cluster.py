"""CLUSTER NODES, turned into addresses.

A line is ``<id> <ip>:<port>@<bus port>[,<hostname>] <flags> <master> ...``; IPv6 addresses have no brackets.
"""

from collections.abc import Iterator

from celery_redis_exporter.decode.redis_fields import read_whole
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import Address

_UNREACHABLE = frozenset({"noaddr", "handshake"})
FIELDS = 8
"""Fields of a line; those of a master with slots are followed by these."""
LARGEST_PORT = 65_535


def decode_cluster_nodes(text: bytes, asked: Address) -> list[Address]:
    """Return the addresses of all nodes, in order; ``asked`` is that of a node that does not know its own yet.

    Raises DecodeError (schema) where a line is no node's.
    """
    return sorted({address for address, _ in _decode(text, asked)})


def decode_cluster_masters(text: bytes, asked: Address) -> list[Address]:
    """Do the same for masters that serve slots: together they have every key once."""
    return sorted({address for address, serves in _decode(text, asked) if serves})


def _decode(text: bytes, asked: Address) -> Iterator[tuple[Address, bool]]:
    """Yield the address of each node that can be reached, and whether it is a master with slots."""
    for line in text.decode("utf-8", "replace").splitlines():
        parts = line.split(" ")
        if len(parts) < FIELDS:
            raise DecodeError("schema", "CLUSTER NODES: a line that is no node's")
        flags = set(parts[2].split(","))
        if flags & _UNREACHABLE:
            continue
        host, _, told = parts[1].partition("@")[0].rpartition(":")
        port = read_whole(told)
        if port is None or not 0 < port <= LARGEST_PORT:
            raise DecodeError("schema", "CLUSTER NODES: a node without host and port")
        if host or "myself" in flags:
            yield Address(host, port) if host else asked, "master" in flags and len(parts) > FIELDS
