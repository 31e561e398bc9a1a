# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of a node's view of its cluster. They are read from CLUSTER INFO, in cluster mode only.

redis_exporter exposes every numeric field that begins with ``cluster_``. The rows are the fields that servers have.
"""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import Info, Metric, counter, gauge
from celery_redis_exporter.catalog.redis_fields import OK_WORDS

MESSAGES = (
    "ping", "pong", "meet", "fail", "auth-req", "auth-ack", "update", "mfstart", "module", "publish", "publishshard",
)  # fmt: skip
"""Kinds of messages between nodes."""

_FIELDS = (
    ("cluster_slots_assigned", "Slots assigned to a node."),
    ("cluster_slots_ok", "Slots served."),
    ("cluster_slots_pfail", "Slots whose node may have failed."),
    ("cluster_slots_fail", "Slots whose node has failed."),
    ("cluster_nodes_pfail", "Nodes that may have failed, on Valkey."),
    ("cluster_nodes_fail", "Nodes that have failed, on Valkey."),
    ("cluster_voting_nodes_pfail", "Nodes with a vote that may have failed, on Valkey."),
    ("cluster_voting_nodes_fail", "Nodes with a vote that have failed, on Valkey."),
    ("cluster_known_nodes", "Nodes known."),
    ("cluster_size", "Masters that serve slots."),
    ("cluster_current_epoch", "Epoch of the cluster."),
    ("cluster_my_epoch", "Epoch of this node."),
    *(
        (f"cluster_stats_{of}bytes_{way}", f"Bytes{what} {way} between nodes, on Valkey.")
        for of, what in (("", ""), ("pubsub_", " of messages to subscribers"), ("module_", " of modules"))
        for way in ("sent", "received")
    ),
    *(
        (f"cluster_stats_messages_{kind}_{way}", f"Messages of the kind {kind} {way} between nodes.")
        for kind in MESSAGES
        for way in ("sent", "received")
    ),
)

CLUSTER_STATE = gauge(
    "redis_cluster_state", "1 if the cluster is ok.", (lb.REDIS,), Info("CLUSTER INFO", "cluster_state", words=OK_WORDS)
)
MESSAGES_SENT = gauge(
    "redis_cluster_messages_sent_total",
    "Messages sent to other nodes.",
    (lb.REDIS,),
    Info("CLUSTER INFO", "cluster_stats_messages_sent", words=OK_WORDS),
)
MESSAGES_RECEIVED = gauge(
    "redis_cluster_messages_received_total",
    "Messages received from other nodes.",
    (lb.REDIS,),
    Info("CLUSTER INFO", "cluster_stats_messages_received", words=OK_WORDS),
)

LINKS_OVER_LIMIT = counter(
    "redis_cluster_links_buffer_limit_exceeded_total",
    "Links to other nodes that were freed for the size of their buffer.",
    (lb.REDIS,),
    Info("CLUSTER INFO", "total_cluster_links_buffer_limit_exceeded"),
)

ROWS: tuple[Metric, ...] = (
    CLUSTER_STATE,
    *(
        gauge(f"redis_{field.replace('-', '_')}", text, (lb.REDIS,), Info("CLUSTER INFO", field, words=OK_WORDS))
        for field, text in _FIELDS
    ),
    MESSAGES_SENT,
    MESSAGES_RECEIVED,
    LINKS_OVER_LIMIT,
)
