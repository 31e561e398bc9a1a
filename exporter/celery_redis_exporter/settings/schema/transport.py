# SPDX-License-Identifier: Apache-2.0
"""Define Celery's transport options that the exporter uses, under the same names. ``foreign`` lists the others."""

from typing import Literal

from pydantic import Field, SecretStr

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.values import SettingsGroup


class SentinelOptions(SettingsGroup):
    """How sentinels are reached, not the Redis behind them; named as in redis-py."""

    username: str = Field("", description="User of the sentinels.")
    password: SecretStr = Field(SecretStr(""), description="Password of the sentinels.")
    ssl: bool = Field(default=False, description="Use TLS to the sentinels.")
    ssl_ca_certs: str = Field("", description="Certificate authorities of the sentinels, a file.")
    ssl_cert_reqs: Literal["required", "optional", "none"] = Field(
        "required", description="Whether their certificates are verified: required, optional or none."
    )
    ssl_certfile: str = Field("", description="The exporter's certificate for the sentinels.")
    ssl_keyfile: str = Field("", description="Its key.")
    ssl_check_hostname: bool = Field(default=True, description="Whether the certificates must contain their names.")


class TransportOptions(SettingsGroup):
    """Celery's ``broker_transport_options``, under the same names."""

    global_keyprefix: str = Field("", description="Prefix that the application puts before every key.")
    priority_steps: v.Steps = Field((0, 3, 6, 9), description="Priority steps; each has a dedicated list.")
    sep: str = Field("\x06\x16", min_length=1, description="Text between a queue's name and its priority step.")
    visibility_timeout: v.PositiveSeconds = Field(3600, description="Time after which a message is delivered again.")
    fanout_prefix: v.Prefix = Field(default=True, description="Whether, or with what, fanout channels are prefixed.")
    fanout_patterns: bool = Field(default=True, description="Whether fanout channels carry the routing key.")
    unacked_key: str = Field("unacked", min_length=1, description="Key of the messages not acknowledged.")
    unacked_index_key: str = Field("unacked_index", min_length=1, description="Key of their delivery times.")
    master_name: str = Field("", description="Name under which sentinels know the broker's Redis.")
    sentinel_kwargs: SentinelOptions = SentinelOptions()


class ResultTransportOptions(SettingsGroup):
    """Celery's ``result_backend_transport_options``, under the same names."""

    global_keyprefix: str = Field("", description="Prefix that the application puts before every result's key.")
    master_name: str = Field("", description="Name under which sentinels know the result backend's Redis.")
    sentinel_kwargs: SentinelOptions = SentinelOptions()
