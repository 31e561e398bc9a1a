# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of masters and replicas, from INFO replication."""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import Info, Label, Metric, gauge
from celery_redis_exporter.catalog.redis_fields import info_gauges

REPLICA: tuple[Label, ...] = (lb.REDIS, lb.SLAVE_IP, lb.SLAVE_PORT, lb.SLAVE_STATE)
MASTER: tuple[Label, ...] = (lb.REDIS, lb.MASTER_HOST, lb.MASTER_PORT)

SLAVE_INFO = gauge(
    "redis_slave_info",
    "1 on a replica, with its master in the labels.",
    (*MASTER, lb.READ_ONLY),
    Info("replication", "role"),
)
CONNECTED_SLAVE_OFFSET = gauge(
    "redis_connected_slave_offset_bytes",
    "Replication offset of the replica.",
    REPLICA,
    Info("replication", "slave*", "offset"),
)
CONNECTED_SLAVE_LAG = gauge(
    "redis_connected_slave_lag_seconds", "Lag of the replica.", REPLICA, Info("replication", "slave*", "lag")
)
MASTER_LINK_UP = gauge(
    "redis_master_link_up", "1 while the link to the master is up.", MASTER, Info("replication", "master_link_status")
)
MASTER_LAST_IO = gauge(
    "redis_master_last_io_seconds_ago",
    "Time since the last exchange with the master.",
    MASTER,
    Info("replication", "master_last_io_seconds_ago", least=-1),
)
MASTER_SYNC = gauge(
    "redis_master_sync_in_progress",
    "1 while a synchronisation with the master runs.",
    MASTER,
    Info("replication", "master_sync_in_progress"),
)
SLAVE_REPL_OFFSET = gauge(
    "redis_slave_repl_offset",
    "Replication offset of this replica.",
    MASTER,
    Info("replication", "slave_repl_offset"),
)
SPECIAL: tuple[Metric, ...] = (
    SLAVE_INFO, CONNECTED_SLAVE_OFFSET, CONNECTED_SLAVE_LAG, MASTER_LINK_UP, MASTER_LAST_IO, MASTER_SYNC,
    SLAVE_REPL_OFFSET,
)  # fmt: skip
"""Several fields make one series."""

ROWS: tuple[Metric, ...] = info_gauges("replication", (
    ("connected_slaves", "connected_slaves", "Replicas connected."),
    ("master_repl_offset", "master_repl_offset", "Replication offset of the server."),
    ("second_repl_offset", "second_repl_offset", "Offset up to which the former replication id holds; -1 if none."),
    ("repl_backlog_is_active", "repl_backlog_active", "1 if there is a backlog."),
    ("replication_backlog_bytes", "repl_backlog_size", "Size of the backlog."),
    ("repl_backlog_first_byte_offset", "repl_backlog_first_byte_offset", "Replication offset at which it begins."),
    ("repl_backlog_history_bytes", "repl_backlog_histlen", "Bytes in the backlog."),
    ("slave_priority", "slave_priority", "Priority of this replica when a master is chosen; 0 is never."),
    ("replicas_repl_buffer_size_bytes", "replicas_repl_buffer_size",
     "Size of what this replica keeps during a synchronisation."),
    ("replicas_repl_buffer_peak_bytes", "replicas_repl_buffer_peak", "Peak of that."),
    ("replicas_waiting_psync", "replicas_waiting_psync", "Replicas that wait for their synchronisation."),
))  # fmt: skip
