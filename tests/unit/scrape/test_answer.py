"""One answer to a scrape: what goes first, and what is done after a large one. No server answers here."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.application import App
from celery_redis_exporter.exposition import negotiate
from celery_redis_exporter.scrape.answer import SMALL
from celery_redis_exporter.settings import load
from tests.waiting import eventually

DEADLINE = 0.05
"""Seconds after which a server that is not there has not answered."""
TEXT = negotiate("", "")


@pytest.fixture
def app() -> App:
    """An exporter that was not started."""
    return App(load([], {}), SystemClock())


def noted(app: App, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note whether somebody goes first when what the servers answered is put together."""
    held: list[bool] = []
    group: Callable[..., Any] = app.scrape.group

    def watched(found: Any) -> Any:  # noqa: ANN401 -- handed through
        held.append(app.precedence.is_held)
        return group(found)

    monkeypatch.setattr(app.scrape, "group", watched)
    return held


def test_events_let_answers_go_first(app: App) -> None:
    """The exporter's events wait while somebody goes first, and are folded afterwards."""
    app.precedence.longest = 60.0
    with app.precedence:
        thread = threading.Thread(target=app.pipeline.fold, args=([b"junk"],), daemon=True)
        thread.start()
        thread.join(DEADLINE)
        assert thread.is_alive()
    eventually(lambda: not thread.is_alive())


def test_a_small_answer_in_a_thread_goes_first_when_it_waits_no_more(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose server let it wait goes first while it is put together; it is none of the large ones."""
    held, large = noted(app, monkeypatch), list[None]()
    app.answerer.after_large = lambda: large.append(None)
    answer = app.answerer.begin(TEXT, DEADLINE)
    assert answer.at_once() is None
    assert b"redis_up" in answer.wait()
    assert [True] == held
    assert not app.precedence.is_held
    assert [] == large


def test_a_large_answer_holds_up_no_events(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large answer is made in a thread, beside the events, and what it took is given back after it."""
    held, large = noted(app, monkeypatch), list[None]()
    app.answerer.after_large = lambda: large.append(None)
    app.answerer.size = SMALL + 1
    answer = app.answerer.begin(TEXT, DEADLINE)
    assert answer.at_once() is None
    assert b"redis_up" in answer.wait()
    assert [False] == held
    assert [None] == large


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
