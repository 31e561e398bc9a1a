# SPDX-License-Identifier: Apache-2.0
"""What CLIENT LIST tells of others."""

from celery_redis_exporter.cli.check.elsewhere import parse_clients


def test_fields_of_clients() -> None:
    """Each line is a client, and a word without a sign of equality is left out."""
    listed = b"id=3 name= db=2 psub=1 odd\nid=4 name=celery-redis-exporter-events db=0 psub=1\n"
    first, second = parse_clients(listed)
    assert ("", "2", "1") == (first["name"], first["db"], first["psub"])
    assert "celery-redis-exporter-events" == second["name"]
    assert "odd" not in first
