# SPDX-License-Identifier: Apache-2.0
"""The rest of the story: the shop's two Redis servers, the exporter, and the alerts that fired.

Input: a history, to which the series are added. The times are those of ``dashboard_story``.
"""

import math

from tests.integration.dashboard_history import Course, History, Level, constant, noisy, scaled
from tests.integration.dashboard_story import FULL, LOST, MEBIBYTE, OUTAGE, RESTART, backlog, within

LIMITS = {"broker": 512 * MEBIBYTE, "results": 256 * MEBIBYTE}
COMMANDS = {
    "brpop": 26,
    "publish": 58,
    "get": 31,
    "setex": 9,
    "lpush": 9,
    "hset": 9,
    "zadd": 9,
    "llen": 0.4,
    "info": 0.1,
}
"""Calls per second. The duration of a call follows from the command's name."""
GROUPS = {
    ("results", "celery-task-meta-*"): (0.66, 1700, 0.02),
    ("results", "market:*"): (0.22, 900, 1.0),
    ("results", "session:*"): (0.12, 400, 0.0),
    ("broker", "payments"): (0.5, 40 * MEBIBYTE, 1.0),
    ("broker", "unacked"): (0.35, 28 * MEBIBYTE, 1.0),
    ("broker", "_kombu.binding.*"): (1e-5, 180, 1.0),
}
"""By server and group: share of the memory, bytes of a key, share of keys without a time to live."""


NEVER = ("celery_exporter_series_dropped_total", "celery_exporter_unexpected_errors_total")
"""Counters that stay at 0."""


SILENT = LOST[0], LOST[0] + 0.08
"""The span in which no worker replied to the exporter's control commands."""


def used(server: str, hours: float) -> float:
    """Return the bytes that a server has allocated."""
    if server == "broker":
        return 74 * MEBIBYTE + backlog(hours) * 40_000
    return LIMITS["results"] * (0.52 + 0.29 * hours / 6 + 0.004 * math.sin(hours * 9))


def memory(server: str) -> Level:
    """Return the allocated bytes as a function of time only."""
    return lambda hours: used(server, hours)


def since_silence(hours: float) -> float:
    """Return the seconds since workers last replied to the exporter's control commands."""
    return 11 + 3600 * (hours - SILENT[0]) * within(hours, SILENT)


def firing(span: tuple[float, float]) -> Course:
    """Return a course that is 1 in a span and has no other samples."""
    return lambda hours: 1 if within(hours, span) else None


def write_servers(history: History) -> None:
    """Add the metrics of the Redis servers."""
    for server, limit in LIMITS.items():
        _tell_memory(history, server, limit)
        _tell_counts(history, server)
        _tell_commands(history, server)
        groups = [figures for (owner, _), figures in GROUPS.items() if owner == server]
        keys = sum(share / size for share, size, _ in groups)
        expiring = sum(share / size * (1 - bare) for share, size, bare in groups)
        history.gauge("redis_db_keys", scaled(memory(server), keys), redis=server, db="db0")
        history.gauge("redis_db_keys_expiring", scaled(memory(server), expiring), redis=server, db="db0")
        history.gauge(
            "celery_exporter_key_space_coverage_ratio", lambda h: min(1.0, 0.1 + h / 2), redis=server, db="db0"
        )
        history.gauge(
            "redis_instance_info",
            lambda _: 1,
            redis=server,
            role="master",
            redis_version="7.4.1",
            redis_build_id="a1",
            redis_mode="standalone",
            os="Linux 6.1 x86_64",
            tcp_port="6379",
            run_id=server,
            process_id="1",
            maxmemory_policy="noeviction" if server == "broker" else "allkeys-lru",
            master_replid=server,
            valkey_version="",
            valkey_release_stage="",
            availability_zone="",
        )
    for (server, group), (share, size, bare) in GROUPS.items():
        labels = {"redis": server, "db": "db0", "key_group": group}
        history.gauge("redis_key_group_memory_usage_bytes", scaled(memory(server), 0.9 * share), **labels)
        history.gauge("redis_key_group_count", scaled(memory(server), share / size), **labels)
        history.gauge("celery_exporter_key_group_without_ttl_ratio", constant(bare), **labels)
        history.gauge(
            "celery_exporter_key_group_error_ratio", lambda h: max(0.01, 0.2 - h / 20), estimate="memory", **labels
        )


def _tell_memory(history: History, server: str, limit: int) -> None:
    shares = {"": 1.0, "_rss": 1.09, "_dataset": 0.86, "_overhead": 0.14}
    for name, share in shares.items():
        history.gauge(f"redis_memory_used{name}_bytes", scaled(memory(server), share), redis=server)
    peak = max(used(server, minute / 60) for minute in range(360))
    history.gauge(
        "redis_memory_used_peak_bytes", lambda h: max(used(server, h), peak if h > OUTAGE[1] else 0), redis=server
    )
    history.gauge("celery_exporter_redis_memory_limit_bytes", lambda _: limit, redis=server)
    history.gauge("redis_total_system_memory_bytes", lambda _: 16_384 * MEBIBYTE, redis=server)
    history.gauge("redis_mem_fragmentation_ratio", noisy(1.12, 0.02, server), redis=server)


def _tell_counts(history: History, server: str) -> None:
    fixed = {
        "redis_up": 1,
        "redis_rdb_last_bgsave_status": 1,
        "redis_aof_last_write_status": 1,
        "redis_config_maxclients": 10_000,
        "redis_aof_last_bgrewrite_status": 1,
        "redis_connected_slaves": 0,
        "redis_latest_fork_seconds": 0.004,
        "redis_slowlog_length": 18,
    }
    moving = {
        "redis_connected_clients": 64,
        "redis_blocked_clients": 6 if server == "broker" else 0,
        "redis_exporter_last_scrape_duration_seconds": 0.0016,
    }
    rates = {
        "redis_commands_processed_total": sum(COMMANDS.values()),
        "redis_net_input_bytes_total": 41_000,
        "redis_net_output_bytes_total": 96_000,
        "redis_cpu_user_seconds_total": 0.021,
        "redis_cpu_sys_seconds_total": 0.013,
        "redis_keyspace_hits_total": 52,
        "redis_keyspace_misses_total": 7,
        "redis_connections_received_total": 0.6,
        "redis_expired_keys_total": 8.2 if server == "results" else 0.0,
        "redis_evicted_keys_total": 0.0,
        "redis_rejected_connections_total": 0.0,
        "redis_client_output_buffer_limit_disconnections_total": 0.0,
    }
    for name, value in fixed.items():
        history.gauge(name, constant(value), redis=server)
    for name, level in moving.items():
        history.gauge(name, noisy(level, 0.1, server + name), redis=server)
    for name, rate in rates.items():
        history.counter(name, noisy(rate, 0.1, server + name), redis=server)
    history.counter("redis_errors_total", noisy(0.02, 0.2, server), redis=server, err="ERR")
    history.gauge("redis_uptime_in_seconds", lambda h: (h + 300) * 3600, redis=server)
    history.gauge("redis_rdb_changes_since_last_save", lambda h: round((h * 3600) % 900 * 40), redis=server)
    history.stamp("redis_rdb_last_save_timestamp_seconds", lambda h: (h * 3600) % 900, redis=server)


def _tell_commands(history: History, server: str) -> None:
    for command, rate in COMMANDS.items():
        seconds = 4e-6 + len(command) * 1e-6
        history.counter("redis_commands_total", noisy(rate, 0.1, command), redis=server, cmd=command)
        history.counter(
            "redis_commands_duration_seconds_total", noisy(rate * seconds, 0.15, command), redis=server, cmd=command
        )
        history.gauge(
            "redis_latency_percentiles_usec", constant(seconds * 4e6), redis=server, cmd=command, quantile="99"
        )


def write_exporter(history: History) -> None:
    """Add the metrics of the exporter, and the alerts that fired."""
    fixed = {
        "up": 1,
        "celery_exporter_event_stream_up": 1,
        "celery_exporter_event_backlog_bytes": 0,
        "process_max_fds": 1024,
        "process_open_fds": 31,
        "scrape_samples_scraped": 2710,
    }
    for name, value in fixed.items():
        history.gauge(name, constant(value))
    history.gauge(
        "celery_exporter_build_info", lambda _: 1, version="0.9.0", python_version="3.13.1", redis_py_version="6.4.0"
    )
    for name, level in {
        "celery_exporter_tasks_tracked": 140,
        "process_resident_memory_bytes": 61 * MEBIBYTE,
        "scrape_duration_seconds": 0.006,
    }.items():
        history.gauge(name, noisy(level, 0.05, name))
    history.stamp("celery_exporter_last_event_timestamp_seconds", lambda _: 0.4)
    history.stamp("process_start_time_seconds", lambda h: 3600 * (h - RESTART if h >= RESTART else h + 50))
    for kind, rate in {
        "task-sent": 10,
        "task-received": 10,
        "task-started": 10,
        "task-succeeded": 9.4,
        "task-failed": 0.2,
        "task-retried": 0.4,
        "worker-heartbeat": 3,
    }.items():
        history.counter("celery_exporter_events_total", noisy(rate, 0.1, kind), type=kind)
    counters = {
        "celery_exporter_event_stream_reconnects_total": {"reason": "closed"},
        "celery_exporter_events_invalid_total": {"reason": "body"},
        "celery_exporter_tasks_unmatched_total": {"type": "task-started"},
        "celery_exporter_tasks_evicted_total": {"reason": "restarted"},
        "celery_exporter_tasks_duplicate_total": {"type": "task-succeeded"},
        "celery_exporter_control_replies_missing_total": {"command": "stats"},
        "celery_exporter_series_dropped_total": {"metric": "celery_tasks_total"},
        "celery_exporter_unexpected_errors_total": {"collector": "control"},
    }
    span = RESTART, RESTART + history.hours_of_a_step

    def restart(hours: float) -> float:
        return within(hours, span) / history.seconds_of_a_step

    for name, labels in counters.items():
        history.counter(name, constant(0.0) if name in NEVER else restart, **labels)
    history.counter("process_cpu_seconds_total", noisy(0.014, 0.1))
    for generation in "012":
        history.counter("python_gc_collections_total", noisy(0.4 / 8 ** int(generation)), generation=generation)
    history.histogram("celery_exporter_event_lag_seconds", noisy(43, 0.1), lambda _: 0.006)
    history.histogram("celery_exporter_scrape_duration_seconds", lambda _: 1 / 15, lambda _: 0.004)
    for metric, series in {
        "celery_task_runtime_seconds": 330,
        "celery_task_wait_seconds": 176,
        "celery_tasks_total": 40,
    }.items():
        history.gauge("celery_exporter_series", constant(series), metric=metric)
    for collector, (seconds, age) in {"control": (0.04, 11), "queues": (0.006, 22), "key_space": (0.3, 46)}.items():
        history.gauge(
            "celery_exporter_collector_success",
            (lambda h: not within(h, SILENT)) if collector == "control" else constant(1),
            collector=collector,
        )
        history.gauge("celery_exporter_collector_duration_seconds", noisy(seconds, 0.1), collector=collector)
        history.stamp(
            "celery_exporter_collector_last_success_timestamp_seconds",
            since_silence if collector == "control" else noisy(age, 0.1, collector),
            collector=collector,
        )
    _tell_alerts(history)


def _tell_alerts(history: History) -> None:
    fired = (
        ("CeleryWorkerDown", "warning", (LOST[0] + 0.1, LOST[1]), {"worker": "shop@web-3"}),
        (
            "CeleryTaskFailureRateCritical",
            "critical",
            (OUTAGE[0] + 0.1, OUTAGE[1] + 0.15),
            {"task": "shop.charge_card"},
        ),
        ("CeleryQueueLong", "warning", (OUTAGE[0] + 0.2, OUTAGE[1] + 0.65), {"queue": "payments"}),
        ("RedisMemoryHigh", "warning", (FULL, math.inf), {"redis": "results"}),
    )
    for name, severity, span, labels in fired:
        history.gauge(
            "ALERTS",
            firing(span),
            alertname=name,
            alertstate="firing",
            severity=severity,
            **labels,
        )
