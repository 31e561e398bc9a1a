# SPDX-License-Identifier: Apache-2.0
"""The address from which the report is read."""

from pathlib import Path

import pytest

from celery_redis_exporter.cli.remote import Access, RemoteSource
from celery_redis_exporter.cli.top.source import _watching
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load


@pytest.mark.parametrize(
    ("url", "name", "path"),
    [
        ("http://localhost:9808", "http://localhost:9808", "/api/v1/status"),
        ("localhost:9808", "http://localhost:9808", "/api/v1/status"),
        ("https://host/shop/", "https://host", "/shop/api/v1/status"),
        ("http://host/api/v1/status", "http://host", "/api/v1/status"),
        ("http://host:9808/metrics", "http://host:9808", "/api/v1/status"),
        ("https://host/shop/metrics/", "https://host", "/shop/api/v1/status"),
        ("http://[::1]:9808/", "http://[::1]:9808", "/api/v1/status"),
    ],
)
def test_addresses(url: str, name: str, path: str) -> None:
    """The status is found below any prefix that a proxy adds; its whole address and that of the metrics work, too."""
    source = RemoteSource("top", url, Access())
    assert (name, path) == (source.name, source._path)


@pytest.mark.parametrize("url", ["redis://localhost", "http://", "http://host:0", "http://host:x", "http://[::1"])
def test_what_is_no_address_of_an_exporter(url: str) -> None:
    """Any other address is a usage error that states what to write instead."""
    with pytest.raises(ConfigError, match="--broker-url"):
        RemoteSource("top", url, Access())


def test_user_and_password_go_together(tmp_path: Path) -> None:
    """A user without a password is an error, and so is the reverse; both are sent without the trailing newline."""
    file = tmp_path / "password"
    file.write_text("secret\r\n", encoding="utf-8")
    for access in (Access("ann"), Access(None, str(file))):
        with pytest.raises(ConfigError, match="go together"):
            RemoteSource("top", "http://host", access)
    source = RemoteSource("top", "http://host", Access("ann", str(file)))
    assert "Basic YW5uOnNlY3JldA==" == source._headers["Authorization"]


def test_it_only_watches() -> None:
    """Settings that let an exporter change servers and workers are switched off; all others stay."""
    flags = ["--redis.memory-guard.enabled", "--celery.enable-events", "--redis.memory-guard.threshold=0.5"]
    given = load([*flags, "--broker-url=redis://user:secret@host:1/2"], {})
    kept = _watching(given)
    assert (True, True) == (given.redis.memory_guard.enabled, given.celery.enable_events)
    assert (False, False) == (kept.redis.memory_guard.enabled, kept.celery.enable_events)
    assert (0.5, given.targets, given.secrets) == (kept.redis.memory_guard.threshold, kept.targets, kept.secrets)
