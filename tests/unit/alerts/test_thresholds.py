# SPDX-License-Identifier: Apache-2.0
"""What alerts and the status page decide by the name of a server."""

import pytest

from celery_redis_exporter.alerts.thresholds import is_cache, is_written, role_of


@pytest.mark.parametrize(
    ("server", "role", "written", "cache"),
    [
        ("broker", "broker", True, False),
        ("results", "results", True, False),
        ("results/10.0.0.7:7000", "results", False, False),
        ("broker@redis:6379", "broker", True, False),
        ("broker@/run/redis.sock", "broker", True, False),
        ("broker@[fd00::7]:6379", "broker", True, False),
        ("broker@master-1@sentinel-0.x_y:26379", "broker", True, False),
        ("results@cache/10.0.0.7:7000", "results", False, False),
        ("cache", "cache", False, True),
        ("brokers", "brokers", False, True),
    ],
)
def test_the_role_of_a_server(server: str, role: str, written: bool, cache: bool) -> None:  # noqa: FBT001 -- a table
    """Names of shared servers begin with the role; nodes have it too, and Celery may write to another node."""
    assert (role, written, cache) == (role_of(server), is_written(server), is_cache(server, "allkeys-lru"))
    assert not is_cache(server, "noeviction")
