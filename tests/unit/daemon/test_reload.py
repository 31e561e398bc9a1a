# SPDX-License-Identifier: Apache-2.0
"""Settings that are reloaded while the process runs."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.daemon import logs
from celery_redis_exporter.daemon.reload import Reloader
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.web_config import WebConfig
from celery_redis_exporter.settings import Settings, load_tree
from tests.support.fakes import FakeClock


def settings(password: str, **tree: object) -> Settings:
    """Return settings with a password of the broker."""
    return load_tree({"broker_url": f"redis://:{password}@h/0", **tree})


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of log levels that are set."""
    found: list[str] = []
    monkeypatch.setattr(logs, "set_level", found.append)
    return found


def test_secrets_of_every_reading_are_hidden(levels: list[str]) -> None:
    """Secrets of the latest reading are masked even if it is refused, and secrets in use stay masked."""
    readings: Iterator[Settings] = iter([settings("second"), settings("third")])
    reloader = Reloader(settings("first"), lambda: next(readings), FakeClock())
    assert {"first"} <= set(reloader.secrets())
    reloader.reload(lambda _: None, lambda _: list)
    assert {"first", "second"} <= set(reloader.secrets())

    def refuse(_: WebConfig) -> None:
        raise ConfigError("no")

    reloader.reload(refuse, lambda _: list)
    assert {"first", "third"} <= set(reloader.secrets())
    assert ["info"] == levels


def test_what_a_reload_can_not_change_is_named(levels: list[str]) -> None:
    """A reload logs settings that need a restart, and a failed reload keeps the time of the last success."""
    clock = FakeClock()
    readings: list[object] = [settings("a", log={"level": "error"}, scrape={"deadline": 1}), ConfigError("wrong")]

    def read() -> Settings:
        found = readings.pop(0)
        if isinstance(found, ConfigError):
            raise found
        assert isinstance(found, Settings)
        return found

    reloader = Reloader(settings("a"), read, clock)
    clock.advance(60)
    with capture_logs() as lines:
        reloader.reload(lambda _: None, lambda _: list)
    assert [["scrape.deadline"]] == [line["settings"] for line in lines if line["event"] == "app.restart_needed"]
    assert ["error"] == levels
    at = clock.now()
    clock.advance(60)
    reloader.reload(lambda _: None, lambda _: list)
    found = {sample.metric: sample.value for sample in reloader.samples()}
    assert {internals.RELOAD_SUCCESSFUL: 0, internals.RELOAD_SUCCESS_TIME: at} == found
