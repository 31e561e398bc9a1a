# SPDX-License-Identifier: Apache-2.0
"""Define settings of single tasks, by name or shell pattern: expected interval, longest runtime, buckets.

Input: text or YAML values. Output: immutable ones. Invalid values raise ValueError with the cause.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.values import SettingsGroup


class TaskOptions(SettingsGroup):
    """What is said of one task, or of all that a pattern fits."""

    expected_interval: v.PositiveSeconds | None = None
    runtime_threshold: v.PositiveSeconds | None = None
    buckets: v.Bounds | None = None


TasksByName = Annotated[dict[str, TaskOptions], BeforeValidator(v.parse_object)]
TASKS_HELP = (
    "What is expected of tasks, by name or pattern, as JSON: "
    '{"proj.report": {"expected_interval": "1h", "runtime_threshold": "5m", "buckets": [1, 60]}}.'
)


class RedBeatOptions(SettingsGroup):
    """RedBeat's schedule, which contains the expected intervals of its tasks."""

    interval: v.Interval = Field(0, description="Time between reads of RedBeat's schedule; 0 does not read it.")
    key_prefix: str = Field("redbeat:", min_length=1, description="The application's redbeat_key_prefix.")
    server: str = Field("broker", description="Where it is kept: broker, results, or a name of redis.servers.")
    max: v.Count = Field(10_000, description="Entries read.")
