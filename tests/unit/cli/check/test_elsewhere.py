# SPDX-License-Identifier: Apache-2.0
"""The clients that CLIENT LIST reports."""

from celery_redis_exporter.cli.check.elsewhere import parse_clients


def test_fields_of_clients() -> None:
    """Each line is one client, and a word without an equals sign is ignored."""
    listed = b"id=3 name= db=2 psub=1 odd\nid=4 name=celery-redis-exporter-events db=0 psub=1\n"
    first, second = parse_clients(listed)
    assert ("", "2", "1") == (first["name"], first["db"], first["psub"])
    assert "celery-redis-exporter-events" == second["name"]
    assert "odd" not in first
