# SPDX-License-Identifier: Apache-2.0
"""The exporter as a library in another program, without a server."""

import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR
from prometheus_client.registry import CollectorRegistry

import celery_redis_exporter
from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.daemon.library import Collector
from celery_redis_exporter.decode.saved_state import decode_state
from celery_redis_exporter.errors import ConfigError

NOWHERE = "redis://127.0.0.1:1/0"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """Unknown names raise AttributeError."""
    with pytest.raises(AttributeError, match="Collektor"):
        celery_redis_exporter.Collektor  # noqa: B018 -- asking is the test


def test_registering_asks_no_server() -> None:
    """Registering describes every metric once, beside the process's collectors, and connects and starts nothing."""
    registry, threads = CollectorRegistry(), threading.active_count()
    for own in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(own)
    collector = Collector(broker_url=NOWHERE)
    registry.register(collector)
    assert set(CATALOG) <= set(registry._names_to_collectors)
    assert [] == list(collector.collect())
    assert threads == threading.active_count()
    collector.close()


def test_what_is_dropped_is_not_described() -> None:
    """Metrics that the settings drop are not described, so that another collector can use their names."""
    collector = Collector(broker_url=NOWHERE, metrics={"drop": ["celery_tasks_total"]}, redis={"metrics": "off"})
    names = {metric.name for metric in collector.describe()}
    assert "celery_tasks_running" in names
    assert set() == names & {"celery_tasks", "redis_up"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"broker_ulr": "x"}, "broker_ulr: no such setting; did you mean broker_url?"),
        ({"broker_url": "ftp://h"}, "broker_url: ftp:// is not supported"),
        ({"queues": {"max": 0}}, "queues.max: "),
        ({"config": {"file": "x"}}, "config.file: no file is read"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    """A wrong name or value raises a ConfigError that names the setting."""
    with pytest.raises(ConfigError, match=message.replace("?", "[?]")):
        Collector(**settings)


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment variables of the other program are ignored."""
    monkeypatch.setenv("CELERY_BROKER_URL", "ftp://other")
    monkeypatch.setenv("EXPORTER_QUEUES__MAX", "none")
    Collector(broker_url=NOWHERE).close()


def test_it_can_be_started_once() -> None:
    """A second start is refused, even after close, and a second close has no effect."""
    with Collector(broker_url=NOWHERE, scrape={"deadline": "100ms"}) as collector, pytest.raises(RuntimeError):
        collector.start()
    collector.close()
    with pytest.raises(RuntimeError):
        collector.start()


def test_the_state_file_is_kept_over_collectors(tmp_path: Path) -> None:
    """A collector locks its state file, and writes it as that of a clean stop once, when it is closed."""
    path = tmp_path / "state"
    settings: dict[str, Any] = {"broker_url": NOWHERE, "state": {"file": str(path)}}
    unused = Collector(**settings)
    with pytest.raises(ConfigError, match="in use by process"):
        Collector(**settings)
    unused.close()
    assert not path.exists()
    with Collector(**settings) as collector:
        pass
    collector.close()
    assert decode_state(path.read_bytes()).is_clean
