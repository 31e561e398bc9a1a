# SPDX-License-Identifier: Apache-2.0
"""Define settings of Redis servers: what is read, and how."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.key_space import KeySpaceOptions
from celery_redis_exporter.settings.schema.named_keys import KEYS_HELP, KeysByServer
from celery_redis_exporter.settings.schema.servers import SERVERS_HELP, ServersByName
from celery_redis_exporter.settings.schema.values import SettingsGroup

Level = Annotated[Literal["full", "core", "off"], BeforeValidator(v.lower)]


class MemoryGuardOptions(SettingsGroup):
    """MEMORY PURGE when memory runs out: the one command to Redis servers that is not a read."""

    enabled: bool = Field(
        default=False, description="Send MEMORY PURGE, which returns unused memory, when memory runs out."
    )
    threshold: v.Ratio = Field(0.9, description="Share of maxmemory above which it is sent.")
    check_interval: v.PositiveSeconds = Field(30, description="Time between reads of the memory used.")
    pause: v.PositiveSeconds = Field(600, description="Least time between two purges of one server.")


class RedisOptions(SettingsGroup):
    """Redis servers."""

    metrics: Level = Field(
        "full", description="redis_* metrics: full, core (those of the bundled alerts and dashboards), or off."
    )
    latency_histogram: bool = Field(
        default=False, description="Read LATENCY HISTOGRAM, on Redis 7 and later: a histogram for each command in use."
    )
    servers: ServersByName = Field(default_factory=dict, description=SERVERS_HELP)
    discovery_interval: v.Interval = Field(
        30, description="Time between searches for the nodes of clusters; 0 reads only the nodes that URLs name."
    )
    allowed_addresses: v.Addresses = Field(
        (),
        description="Networks and ends of host names that clusters and sentinels may name, as in 10.0.0.0/8,.internal;"
        " by default those in the same kind of network (loopback, private, internet) as the server that names them.",
    )
    max_nodes: v.Count = Field(100, description="Nodes of one cluster that are read.")
    assumed_maxmemory: v.Bytes = Field(
        0, description="Memory limit to assume for servers without maxmemory; 0 assumes none. As in 2GB or 512MB."
    )
    memory_guard: MemoryGuardOptions = MemoryGuardOptions()
    keys: KeysByServer = Field(default_factory=dict, description=KEYS_HELP)
    key_values: bool = Field(
        default=False, description="Show the values of these keys, too, where they are numbers (redis_key_value)."
    )
    key_space: KeySpaceOptions = KeySpaceOptions()
