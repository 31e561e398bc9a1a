# SPDX-License-Identifier: Apache-2.0
"""What the exporter may do on Redis: the exact rights, and every command it sends. deploy/docs repeats the line.

Takes nothing, gives constants.
"""

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
"""For a broker on database 0; on database N the exporter also needs +select, and the channel has its number."""

CLUSTER_RIGHTS = ("+cluster|info", "+cluster|nodes")
"""What the nodes of a cluster need besides: their state, and where the others are."""
CONTROL_RIGHTS = (
    "~celery-redis-exporter.reply.*", "&/0.celery.pidbox", "+del", "+rpush", "+expire", "+lrange", "+publish",
)  # fmt: skip
"""What asking workers needs besides; the only rights to write, on keys of our own."""

KEY_SPACE_RIGHTS = ("%R~*", "+ping", "+info", "+scan", "+memory|usage", "+pttl")
"""What the look at the key space needs; +select too where several databases of a server are read."""
KEY_SPACE_COMMANDS = frozenset({"ping", "info", "scan", "memory|usage", "pttl"})

COMMANDS = frozenset({
    "auth", "select", "client|setname", "client|id", "client|list",
    "info", "slowlog|len", "slowlog|get", "latency|latest",
    "config|get",
    "llen", "lindex", "hlen", "zrange", "zcount", "scan", "smembers",
    "psubscribe", "ping", "memory|usage", "pttl",
})  # fmt: skip
"""Every command that the exporter ever sends but those of CONTROL_RIGHTS, as Redis's commandstats name them."""
