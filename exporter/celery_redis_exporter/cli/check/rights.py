# SPDX-License-Identifier: Apache-2.0
"""Report which commands a user may not run, and which metrics are missing for that reason.

Input: refusals. Output: findings. Pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.place import Place
from celery_redis_exporter.sources.refusals import Refusal

METRICS: Mapping[str, tuple[str, ...]] = {
    "info": ("redis_memory_used_bytes", "and all others of INFO"),
    "slowlog|len": ("redis_slowlog_length",),
    "slowlog|get": ("redis_slowlog_last_id",),
    "latency|latest": ("redis_latency_spike_last", "redis_latency_spike_duration_seconds"),
    "latency|histogram": ("redis_commands_latencies_usec",),
    "config|get": ("redis_config_client_output_buffer_limit_bytes", "redis_config_io_threads"),
    "cluster|info": ("redis_cluster_state",),
    "cluster|nodes": ("all metrics of the cluster's other nodes",),
    "llen": ("celery_queue_length",),
    "lindex": ("celery_queue_oldest_message_age_seconds",),
    "hlen": ("celery_unacked_messages",),
    "zrange": ("celery_unacked_oldest_age_seconds",),
    "zcount": ("celery_unacked_overdue_messages",),
    "client|list": ("celery_exporter_event_backlog_bytes",),
    "scan": ("redis_key_group_count", "queues that no setting and no event names"),
    "smembers": ("celery_queue_length of queues that no setting and no event names",),
    "memory|usage": ("redis_key_group_memory_usage_bytes",),
    "pttl": ("redis_key_group_memory_usage_bytes",),
    "client|id": ("celery_exporter_event_backlog_bytes",),
}
"""Metrics that are missing without a command."""


def right_findings(subject: str, place: Place, lacking: Sequence[str], replies: Sequence[object]) -> Iterator[Finding]:
    """Yield the findings about refused commands. ``lacking`` names them as an ACL does."""
    if lacking:
        empty = dict.fromkeys(name for right in lacking for name in METRICS.get(right, ()))
        what = f"; empty: {', '.join(empty)}" if empty else ""
        grant = " ".join([*(f"+{right}" for right in lacking), "%R~*"])
        yield rows.RIGHTS_MISSING.found(subject, f"refused: {', '.join(lacking)}{what}", place.grant(grant))
    else:
        yield rows.RIGHTS_GRANTED.found(subject, "all commands of a scrape and of the background are allowed")
    for reply in replies:
        if isinstance(reply, Refusal) and not reply.lasts and not reply.is_of_server:
            yield rows.REPLY_ODD.found(subject, str(reply))
