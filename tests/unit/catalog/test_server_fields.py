# SPDX-License-Identifier: Apache-2.0
"""Fields of INFO that Valkey, Dragonfly and others renamed."""

from pathlib import Path

import pytest

from celery_redis_exporter.catalog.server_fields import mode_of, product_of, read_version
from celery_redis_exporter.decode.redis_server import parse_info
from tests.support.project_files import ROOT

RECORDED = sorted(path for path in (ROOT / "tests" / "fixtures" / "redis").glob("*.txt") if path.stem != "pika-3.4")
"""All but Pika, which reports no mode."""


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", ["standalone", "cluster", "sentinel"])
def test_the_mode_of_every_recorded_server(path: Path, mode: str) -> None:
    """The mode is read from INFO of each server and version, as bytes and as fields, whatever its field is called."""
    text = path.read_text().replace("_mode:standalone", f"_mode:{mode}").replace("\n", "\r\n").encode()
    assert mode == mode_of(text) == parse_info(text)["redis_mode"]


def test_other_modes_are_none_of_the_server() -> None:
    """A field that only ends like the mode's, as Dragonfly's, is another one."""
    text = b"# Server\r\ncache_mode:store\r\nold_redis_mode:cluster\r\n"
    assert "" == mode_of(text)
    assert "redis_mode" not in parse_info(text)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"redis_version": "7.0.15"}, "Redis 7.0.15"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.3"}, "Valkey 8.1.3"),
        ({"redis_version": "7.4.0", "dragonfly_version": "df-v1.36.0"}, "Dragonfly 1.36.0"),
        ({"redis_version": "7.0.15", "valkey_version": ""}, "Redis 7.0.15"),
        ({}, "Redis ?"),
    ],
)
def test_products(fields: dict[str, str], expected: str) -> None:
    """A product has its own name and version, not those of the Redis that it is compatible with."""
    assert expected == product_of(fields)


def test_versions_are_numbers() -> None:
    """Versions compare as numbers, so that 10.2 is newer than 7.0; what is no version is older than any."""
    assert (10, 2) == read_version({"redis_version": "10.2.1"})
    assert (0, 0) == read_version({}) == read_version({"redis_version": "999999999999.1"})
