# SPDX-License-Identifier: Apache-2.0
"""Redis from within: commands, clients, persistence, replication, and how the exporter reads it."""

from grafana.generator import theme
from grafana.generator.panel import FINE_OR_FAILED, Query, Style, Word
from grafana.generator.panels import Graph, Timeline
from grafana.generator.promql import RATE, SERVER, Scope, hit_rate, ratio
from grafana.generator.tables import Column, Table

SERVERS = Scope(("redis",))
MICROSECONDS = "µs"
REPLICA = f"{SERVER}, slave_ip, slave_port, slave_state"
GOOD_OR_BAD = tuple(Word(word.value, word.text, colour) for word, colour in zip(
    FINE_OR_FAILED, (theme.GOOD, theme.BAD), strict=True
))  # fmt: skip


def of_server(name: str) -> str:
    """Give a gauge by server."""
    return SERVERS.gauge(name, SERVER, how="max")


COMMANDS = (
    Graph(
        title="Operations", unit=theme.OPERATIONS, stacked=True, many=True,
        meaning="Commands processed by each server.",
        remedy="Compare with executions: more than about thirty commands for each is polling.",
        queries=(Query(SERVERS.rate("redis_commands_processed_total", SERVER), "{{redis}}"),),
    ),
    Graph(
        title="By command", unit=theme.OPERATIONS, stacked=True, many=True,
        meaning="The ten commands called most.",
        remedy="brpop and publish are Celery's; get in great numbers is somebody waiting for results.",
        queries=(Query(f"topk(10, {SERVERS.rate('redis_commands_total', 'cmd')})", "{{cmd}}"),),
    ),
    Graph(
        title="Hit rate", unit=theme.RATIO, many=True, reach=1, empty="No look-ups", alerts=("RedisHitRateLow",),
        meaning="Share of look-ups that found their key, without brokers and the exporter's own look-ups. Waiting for"
        " results of unfinished tasks counts as misses.",
        remedy="Low on a cache: keys expire or are evicted too early.",
        queries=(Query(hit_rate(SERVERS, SERVER), "{{redis}}"),),
    ),
    Graph(
        title="Time of a command, mean", unit=MICROSECONDS, many=True, empty="No command was called",
        meaning="How long the ten slowest commands take the server, on average.",
        remedy="Redis serves one command at a time: a slow one delays all others.",
        queries=(Query("topk(10, 1e6 * " + ratio(
            SERVERS.rate("redis_commands_duration_seconds_total", "cmd"), SERVERS.rate("redis_commands_total", "cmd")
        ) + ")", "{{cmd}}"),),
    ),
    Graph(
        title="Time of a command, p99", unit=MICROSECONDS, many=True, empty="Known from Redis 7.0 on",
        meaning="99 % of the calls of a command since the server started were done within this time; the ten"
        " slowest. From Redis 7.0 on.",
        remedy="Look into the slow log: redis-cli SLOWLOG GET 10.",
        queries=(Query(
            "topk(10, max by (cmd) ("
            + SERVERS.select("redis_latency_percentiles_usec", 'quantile=~"99|99.0"') + "))", "{{cmd}}"
        ),),
    ),
    Graph(
        title="Slow log", unit=theme.NUMBER, many=True, decimals=0,
        meaning="Commands that were slower than slowlog-log-slower-than, as many as the log still has.",
        remedy="redis-cli SLOWLOG GET 10 names them.",
        queries=(Query(of_server("redis_slowlog_length"), "{{redis}}"),),
    ),
    Graph(
        title="Network", unit=theme.BYTE_RATE, many=True,
        meaning="Bytes that the servers read and write, each second.",
        remedy="Much more out than in: large results that are read again and again, or many subscribers.",
        queries=(
            Query(SERVERS.rate("redis_net_input_bytes_total", SERVER), "in {{redis}}"),
            Query(SERVERS.rate("redis_net_output_bytes_total", SERVER), "out {{redis}}"),
        ),
    ),
    Graph(
        title="CPU of servers", unit=theme.RATIO, many=True,
        meaning="Share of one CPU that each server takes; its main thread can't take more than one.",
        remedy="Near 100 %: the server is the bottleneck. Look at the slowest and the most called commands.",
        queries=(
            Query(SERVERS.rate("redis_cpu_user_seconds_total", SERVER), "user {{redis}}"),
            Query(SERVERS.rate("redis_cpu_sys_seconds_total", SERVER), "system {{redis}}"),
        ),
    ),
    Graph(
        title="Errors", unit="suffix:errors/s", stacked=True, many=True, alerts=("RedisRefusesWrites",),
        meaning="Error replies by their prefix, as clients got them.",
        remedy="OOM: memory is full. NOPERM: a user lacks a right. MISCONF: the last dump failed. NOREPLICAS: too few"
        " replicas are connected.",
        queries=(Query(SERVERS.rate("redis_errors_total", "err"), "{{err}}"),),
    ),
)  # fmt: skip

CLIENTS = (
    Graph(
        title="Clients", unit=theme.NUMBER, many=True, decimals=0, alerts=("RedisConnectionsHigh",),
        meaning="Connections, and those of them that wait in a blocking call, as workers do that wait for messages.",
        remedy="Growing without more workers: connections that are not closed. How near the limit is stands on top.",
        queries=(
            Query(of_server("redis_connected_clients"), "connected to {{redis}}"),
            Query(of_server("redis_blocked_clients"), "blocked in {{redis}}"),
        ),
    ),
    Graph(
        title="New connections", unit="suffix:connections/s", many=True,
        meaning="Connections that were opened, each second.",
        remedy="Many: a client that connects for each task. Use a pool.",
        queries=(Query(SERVERS.rate("redis_connections_received_total", SERVER), "{{redis}}"),),
    ),
    Graph(
        title="Refused", unit=theme.NUMBER, many=True, decimals=0, alerts=("RedisRejectedConnections",),
        meaning="Connections over maxclients, and clients cut off for a buffer that grew too large, around each point.",
        remedy="Cut off for the output buffer: a subscriber, maybe an exporter, that reads too slowly.",
        styles=(Style("over maxclients", theme.BAD), Style("output buffer", theme.WARNING)),
        queries=(
            Query(SERVERS.increase("redis_rejected_connections_total", window=RATE), "over maxclients"),
            Query(SERVERS.increase("redis_client_output_buffer_limit_disconnections_total", window=RATE),
                  "output buffer"),
        ),
    ),
)  # fmt: skip

DURABILITY = (
    Timeline(
        title="Last dump", unit=theme.WORD, width=12, height=5, words=GOOD_OR_BAD, empty="No Redis server is read",
        meaning="Whether the last dump succeeded.", alerts=("RedisPersistenceFailing",),
        remedy="Failed: look for a full disk, or for too little memory to fork, in the server's log.",
        queries=(Query(of_server("redis_rdb_last_bgsave_status"), "{{redis}}"),),
    ),
    Timeline(
        title="Last write to the append-only file", unit=theme.WORD, width=12, height=5, words=GOOD_OR_BAD,
        empty="No append-only file", alerts=("RedisPersistenceFailing",),
        meaning="Whether the last write to the append-only file succeeded.",
        remedy="Failed: Redis refuses writes. Look for a full disk.",
        queries=(Query(of_server("redis_aof_last_write_status"), "{{redis}}"),),
    ),
    Graph(
        title="Since the last dump", unit=theme.AGE, many=True, width=6,
        meaning="How long ago the last dump was made, or the server started.",
        remedy="What came since is lost in a crash, unless there is an append-only file.",
        queries=(Query(SERVERS.age("redis_rdb_last_save_timestamp_seconds", SERVER), "{{redis}}"),),
    ),
    Graph(
        title="Changes since the last dump", unit=theme.NUMBER, many=True, decimals=0, width=6,
        meaning="Writes that only memory holds, where there is no append-only file.",
        remedy="Set save, or appendonly, on a server whose messages must survive a crash.",
        queries=(Query(of_server("redis_rdb_changes_since_last_save"), "{{redis}}"),),
    ),
    Graph(
        title="Last fork", unit=theme.SPAN, many=True, width=6,
        meaning="How long the last fork, for a dump or a rewrite, stopped the server.",
        remedy="More than 0.1 s: turn transparent huge pages off, or dump on a replica.",
        queries=(Query(of_server("redis_latest_fork_seconds"), "{{redis}}"),),
    ),
    Graph(
        title="Replicas", unit=theme.NUMBER, many=True, decimals=0, width=6, alerts=("RedisReplicaLost",),
        meaning="Replicas connected to each server.",
        remedy="One fewer than before: look at its log, and at repl-backlog-size.",
        queries=(Query(of_server("redis_connected_slaves"), "{{redis}}"),),
    ),
    Timeline(
        title="Link to the master", unit=theme.WORD, width=8, height=6, empty="No replica is read",
        words=(Word("1", "Up", theme.GOOD), Word("0", "Down", theme.BAD)), alerts=("RedisReplicationBroken",),
        meaning="Of a replica that the exporter reads: whether it hears its master.",
        remedy="Down: its data grow old. Look at the network, and at repl-backlog-size.",
        queries=(Query(of_server("redis_master_link_up"), "{{redis}}"),),
    ),
    Table(
        title="Replication", first="Lag", height=6, width=16, empty="No replica",
        meaning="Replicas of each server: their state, and how long ago they last confirmed what they have.",
        remedy="A state other than online, or a lag of minutes: a failover would lose messages.",
        alerts=("RedisReplicationBroken", "RedisReadOnly"),
        columns=(
            Column(name="Server", label="redis"),
            Column(name="Replica", label="slave_ip",
                   expr=SERVERS.gauge("redis_connected_slave_offset_bytes", REPLICA,
                                      how="max")),
            Column(name="Port", label="slave_port"),
            Column(name="State", label="slave_state"),
            Column(name="Lag", unit=theme.SECONDS, expr=SERVERS.gauge(
                "redis_connected_slave_lag_seconds", REPLICA, how="max")),
        ),
        hidden=("cluster", "namespace", "job", "application"),
    ),
)  # fmt: skip

READS = (
    Graph(
        title="Time of a read", unit=theme.SPAN, many=True, width=12,
        meaning="How long the exporter's round trip to each server took: INFO and lengths of queues in one pipeline.",
        remedy="Rising with nothing else: the network, or a slow command in front of it.",
        queries=(Query(of_server("redis_exporter_last_scrape_duration_seconds"), "{{redis}}"),),
    ),
)  # fmt: skip

TOPOLOGY = (
    Timeline(
        title="Cluster", unit=theme.WORD, width=8, height=6, empty="No cluster is read", alerts=("RedisClusterDown",),
        words=GOOD_OR_BAD,
        meaning="Whether each node takes its cluster to be whole. Failed also on a server that is in no cluster.",
        remedy="Failed: slots or masters are missing; redis-cli CLUSTER NODES shows which.",
        queries=(Query(
            f"{of_server('redis_cluster_state')} and on ({SERVER}) {of_server('redis_cluster_enabled')} == 1",
            "{{redis}}",
        ),),
    ),
    Graph(
        title="Slots not served", unit=theme.NUMBER, decimals=0, many=True, height=6, empty="No cluster is read",
        meaning="Slots of a cluster whose node has failed, and those whose node may have.",
        remedy="Keys in them can't be read or written.", alerts=("RedisClusterDown",),
        queries=(
            Query(of_server("redis_cluster_slots_fail"), "failed, {{redis}}"),
            Query(of_server("redis_cluster_slots_pfail"), "maybe, {{redis}}"),
        ),
    ),
    Timeline(
        title="Quorum of the sentinels", unit=theme.WORD, width=8, height=6, empty="No sentinel is read",
        words=GOOD_OR_BAD, alerts=("RedisQuorumLost", "RedisSentinelDown"),
        meaning="Whether enough sentinels are there to make another master.",
        remedy="Failed: start the sentinels that are missing, before the master fails.",
        queries=(Query(
            SERVERS.gauge("redis_sentinel_master_ckquorum_status", "master_name", how="max"), "{{master_name}}"
        ),),
    ),
)  # fmt: skip
