# SPDX-License-Identifier: Apache-2.0
"""List Celery's transport options that are not settings of the exporter, because only kombu and Celery need them.

Users may copy them together with the options that are settings.
"""

from collections.abc import Mapping

# Options of Celery that concern its own connections and loops, or brokers other than Redis.
FOREIGN = frozenset({
    # connections
    "channel_max", "client_name", "client_properties", "confirm_publish", "connect_retries_timeout", "connect_timeout",
    "connection_name_prefix", "credential_provider", "errback", "failover_strategy", "frame_max",
    "health_check_interval", "heartbeat", "interval_max", "interval_start", "interval_step", "login_method",
    "max_connections", "max_retries", "min_other_sentinels", "on_blocked", "on_unblocked", "polling_interval",
    "read_timeout", "reauth_check_interval", "retry_on_timeout", "retry_policy", "socket_connect_timeout",
    "socket_keepalive", "socket_keepalive_options", "socket_settings", "socket_timeout", "write_timeout",
    # queues of Redis
    "ack_emulation", "body_encoding", "deadletter_queue", "queue_order_strategy", "sentinel_fanout_compat",
    "unacked_mutex_expire", "unacked_mutex_key", "unacked_restore_interval", "unacked_restore_limit",
    "unacked_restore_throttle",
    # other brokers
    "ack_deadline_seconds", "ack_modify_batch_size", "bulk_max_messages", "calc_queue_size", "conn_string",
    "control_folder", "data_folder_in", "data_folder_out", "expiration_seconds", "pool_size", "pool_timeout",
    "predefined_queues", "processed_folder", "queue_name_prefix", "region", "retry_timeout_seconds", "store_processed",
    "ttl", "use_notify", "wait_time_seconds",
})  # fmt: skip
# The options of result_backend_transport_options.
FOREIGN_RESULTS = frozenset({
    "client_name", "credential_provider", "health_check_interval", "min_other_sentinels",
    "result_chord_join_timeout", "result_chord_ordered", "retry_on_timeout", "retry_policy", "socket_connect_timeout",
    "socket_keepalive", "socket_keepalive_options", "socket_timeout", "visibility_timeout",
})  # fmt: skip
# The options of sentinel_kwargs, which are those of redis-py.
FOREIGN_SENTINEL = frozenset({
    "client_name", "db", "decode_responses", "encoding", "health_check_interval", "max_connections", "protocol",
    "retry", "retry_on_error", "retry_on_timeout", "socket_connect_timeout", "socket_keepalive",
    "socket_keepalive_options", "socket_timeout",
})  # fmt: skip
BROKER_GROUP = ("broker_transport_options",)
RESULTS_GROUP = ("result_backend_transport_options",)
FOREIGN_BY_GROUP: Mapping[tuple[str, ...], frozenset[str]] = {
    BROKER_GROUP: FOREIGN,
    RESULTS_GROUP: FOREIGN_RESULTS,
    (*BROKER_GROUP, "sentinel_kwargs"): FOREIGN_SENTINEL,
    (*RESULTS_GROUP, "sentinel_kwargs"): FOREIGN_SENTINEL,
}
