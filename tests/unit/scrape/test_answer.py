"""One answer to a scrape: what is done during and after a large one. No server answers here."""

import gc
from collections.abc import Callable
from typing import Any

import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.application import App
from celery_redis_exporter.exposition import negotiate
from celery_redis_exporter.scrape.answer import SMALL
from celery_redis_exporter.settings import load

DEADLINE = 0.05
"""Seconds after which a server that is not there has not answered."""
TEXT = negotiate("", "")


@pytest.fixture
def app() -> App:
    """An exporter that was not started."""
    return App(load([], {}), SystemClock())


@pytest.mark.parametrize("switch", [gc.enable, gc.disable])
def test_a_large_answer_is_not_collected(app: App, monkeypatch: pytest.MonkeyPatch, switch: Callable[[], None]) -> None:
    """The garbage collector is off while one is made, and afterwards as it was, also after an answer that failed."""
    seen: list[bool] = []
    group: Callable[..., Any] = app.scrape.group

    def watched(found: Any) -> Any:  # noqa: ANN401 -- handed through
        seen.append(gc.isenabled())
        if len(seen) > 1:
            raise ZeroDivisionError
        return group(found)

    monkeypatch.setattr(app.scrape, "group", watched)
    app.answerer.size = SMALL + 1
    switch()
    enabled = gc.isenabled()
    try:
        app.answerer.begin(TEXT, DEADLINE).wait()
        assert gc.isenabled() is enabled
        app.answerer.size = SMALL + 1
        with pytest.raises(ZeroDivisionError):
            app.answerer.begin(TEXT, DEADLINE).wait()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert seen == [False, False]
