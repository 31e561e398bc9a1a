"""Celery's transport options: those that matter here, under the same names, and those that do not.

Takes validated values, gives read-only attributes. The options that kombu and Celery know besides may be pasted along:
``FOREIGN`` names them.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SecretStr

from exporter.settings import values as v
from exporter.settings.group import Group

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
# The same for result_backend_transport_options.
FOREIGN_RESULTS = frozenset({
    "client_name", "credential_provider", "health_check_interval", "min_other_sentinels",
    "result_chord_join_timeout", "result_chord_ordered", "retry_on_timeout", "retry_policy", "socket_connect_timeout",
    "socket_keepalive", "socket_keepalive_options", "socket_timeout", "visibility_timeout",
})  # fmt: skip
# And for sentinel_kwargs, which are redis-py's.
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


class SentinelOptions(Group):
    """How sentinels are reached, not the Redis behind them; named as in redis-py."""

    username: str = Field("", description="User of the sentinels.")
    password: SecretStr = Field(SecretStr(""), description="Password of the sentinels.")
    ssl: bool = Field(default=False, description="Speak TLS with the sentinels.")
    ssl_ca_certs: str = Field("", description="Certificate authorities of the sentinels, a file.")
    ssl_cert_reqs: Literal["required", "optional", "none"] = Field(
        "required", description="Whether their certificates are verified: required, optional or none."
    )
    ssl_certfile: str = Field("", description="Own certificate for the sentinels.")
    ssl_keyfile: str = Field("", description="Its key.")
    ssl_check_hostname: bool = Field(default=True, description="Whether their names must stand in the certificates.")

    @property
    def parameters(self) -> dict[str, Any]:
        """What is set, for redis-py."""
        given = {"username": self.username, "password": self.password.get_secret_value()}
        if self.ssl:
            given |= {name: getattr(self, name) for name in type(self).model_fields if name.startswith("ssl_")}
        return {name: value for name, value in given.items() if value != ""}


class TransportOptions(Group):
    """Celery's ``broker_transport_options``, under the same names."""

    global_keyprefix: str = Field("", description="Prefix that the application puts before every key.")
    priority_steps: v.Steps = Field((0, 3, 6, 9), description="Priority steps; each has a list of its own.")
    sep: str = Field("\x06\x16", min_length=1, description="Text between a queue's name and its priority step.")
    visibility_timeout: v.PositiveSeconds = Field(3600, description="Time after which a message is delivered again.")
    fanout_prefix: v.Prefix = Field(default=True, description="Whether, or with what, fanout channels are prefixed.")
    fanout_patterns: bool = Field(default=True, description="Whether fanout channels carry the routing key.")
    unacked_key: str = Field("unacked", min_length=1, description="Key of the messages not acknowledged.")
    unacked_index_key: str = Field("unacked_index", min_length=1, description="Key of their delivery times.")
    master_name: str = Field("", description="Name under which sentinels know the broker's Redis.")
    sentinel_kwargs: SentinelOptions = SentinelOptions()


class ResultTransportOptions(Group):
    """Celery's ``result_backend_transport_options``, under the same names."""

    global_keyprefix: str = Field("", description="Prefix that the application puts before every result's key.")
    master_name: str = Field("", description="Name under which sentinels know the result backend's Redis.")
    sentinel_kwargs: SentinelOptions = SentinelOptions()
