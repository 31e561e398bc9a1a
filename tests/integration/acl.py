# SPDX-License-Identifier: Apache-2.0
"""The exporter's permissions on Redis, and every command that it sends. deploy/docs repeats the line.

Output: constants, and the permissions that only some servers need.
"""

from tests.integration.redis_servers import RedisServer

KEY_RIGHTS = ("%R~*",)
CHANNEL_RIGHTS = ("&/0.celeryev/*",)
EVENT_RIGHTS = ("+psubscribe", "+ping")
SCRAPE_RIGHTS = (
    "+info", "+client|id", "+client|list", "+client|setname", "+slowlog|len", "+slowlog|get", "+latency|latest",
    "+config|get",
    "+llen", "+lindex", "+hlen", "+zrange", "+zcount",
)  # fmt: skip
DISCOVERY_RIGHTS = ("+scan", "+smembers")
SIZE_RIGHTS = ("+memory|usage", "+pttl")
RIGHTS = (*KEY_RIGHTS, *CHANNEL_RIGHTS, *EVENT_RIGHTS, *SCRAPE_RIGHTS, *DISCOVERY_RIGHTS, *SIZE_RIGHTS)

USER = "celery-exporter"
START = ("on", ">PASSWORD", "resetkeys", "resetchannels", "-@all")
ACL_LINE = " ".join(("ACL SETUSER", USER, *START, *RIGHTS))
"""For a broker on database 0. On database N the exporter also needs +select, and the channel contains that number."""

CLUSTER_RIGHTS = ("+cluster|info", "+cluster|nodes")
"""Additional permissions on the nodes of a cluster, to read its state and the addresses of the other nodes."""
CONTROL_RIGHTS = (
    "~celery-redis-exporter.reply.*", "&/0.celery.pidbox", "+del", "+rpush", "+expire", "+lrange", "+publish",
)  # fmt: skip
"""Additional permissions to query workers. Only these write, and only to the exporter's own keys."""

KEY_SPACE_RIGHTS = ("%R~*", "+ping", "+info", "+scan", "+memory|usage", "+pttl")
"""Additional permissions to sample the key space. If several databases of a server are read, +select is needed too."""
KEY_SPACE_COMMANDS = frozenset({"ping", "info", "scan", "memory|usage", "pttl"})

COMMANDS = frozenset({
    "auth", "select", "client|setname", "client|id", "client|list",
    "info", "slowlog|len", "slowlog|get", "latency|latest",
    "config|get",
    "llen", "lindex", "hlen", "zrange", "zcount", "scan", "smembers",
    "psubscribe", "ping", "memory|usage", "pttl",
})  # fmt: skip
"""All commands of the exporter except those of CONTROL_RIGHTS, with their names in Redis's commandstats."""


def rights_of_newer(server: RedisServer) -> tuple[str, ...]:
    """Return the permissions that the documentation lists for some servers only."""
    return ("+commandlog|len",) if "valkey_version" in server.command("INFO", "server") else ()
