# SPDX-License-Identifier: Apache-2.0
"""Decode CLUSTER NODES into addresses.

A line is ``<id> <ip>:<port>@<bus port>[,<hostname>] <flags> <master> ...``. IPv6 addresses have no brackets.
"""

from collections.abc import Iterator

from celery_redis_exporter.decode.redis_fields import read_whole
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import Address

_UNREACHABLE = frozenset({"noaddr", "handshake"})
FIELDS = 8
"""The number of fields of a line. In the line of a master with slots, the slots follow."""
LARGEST_PORT = 65_535


def decode_cluster_nodes(text: bytes, asked: Address) -> list[Address]:
    """Return the addresses of all nodes, sorted. Raises DecodeError (schema) for a line with another shape.

    ``asked`` is the address of the queried node, which may not know its own address yet.
    """
    return sorted({address for address, _ in _decode(text, asked)})


def decode_cluster_masters(text: bytes, asked: Address) -> list[Address]:
    """Return the addresses of the masters that serve slots, which together have every key once. Raises DecodeError."""
    return sorted({address for address, serves in _decode(text, asked) if serves})


def _decode(text: bytes, asked: Address) -> Iterator[tuple[Address, bool]]:
    """Yield the address of each reachable node, and whether it is a master with slots."""
    for line in text.decode("utf-8", "replace").splitlines():
        parts = line.split(" ")
        if len(parts) < FIELDS:
            raise DecodeError("schema", "CLUSTER NODES: a line that is no node's")
        flags = set(parts[2].split(","))
        if flags & _UNREACHABLE:
            continue
        host, _, digits = parts[1].partition("@")[0].rpartition(":")
        port = read_whole(digits)
        if port is None or not 0 < port <= LARGEST_PORT:
            raise DecodeError("schema", "CLUSTER NODES: a node without host and port")
        if host or "myself" in flags:
            yield Address(host, port) if host else asked, "master" in flags and len(parts) > FIELDS
