"""Fields of INFO that Valkey renamed."""

from pathlib import Path

import pytest

from celery_redis_exporter.catalog.server_fields import mode_of, product_of, read_field
from tests.support.project_files import ROOT

RECORDED = sorted((ROOT / "tests" / "fixtures" / "redis").glob("*.txt"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", ["standalone", "cluster", "sentinel"])
def test_the_mode_of_every_recorded_server(path: Path, mode: str) -> None:
    """The mode is read from INFO of each server and version, as bytes and as fields, whatever its field is called."""
    text = path.read_text().replace("_mode:standalone", f"_mode:{mode}")
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    assert mode == mode_of(text.replace("\n", "\r\n").encode())
    assert mode == read_field(fields, "redis_mode")


def test_other_modes_are_none_of_the_server() -> None:
    """A field that only ends like the mode's, as Dragonfly's, is another one."""
    assert "" == mode_of(b"# Server\r\ncache_mode:store\r\nold_redis_mode:cluster\r\n")
    assert read_field({"cache_mode": "store"}, "redis_mode") is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"redis_version": "7.0.15"}, "Redis 7.0.15"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.3"}, "Valkey 8.1.3"),
        ({}, "Redis ?"),
    ],
)
def test_products(fields: dict[str, str], expected: str) -> None:
    """Valkey is called so, with its own version, not with the one of Redis that it is compatible with."""
    assert expected == product_of(fields)
