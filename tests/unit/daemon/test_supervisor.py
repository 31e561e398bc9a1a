# SPDX-License-Identifier: Apache-2.0
"""The supervisor restarts work after every kind of error."""

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.errors import SourceError
from tests.support.waiting import eventually


def test_work_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed work is started again, and each trouble is logged once when it begins and once when it ends."""
    monkeypatch.setattr("celery_redis_exporter.daemon.supervisor.FIRST_PAUSE", 0.01)
    stop = threading.Event()
    bugs: list[str] = []
    runs: list[int] = []
    supervisor = Supervisor(SystemClock(), stop, bugs.append)

    def work(works: Callable[[], None]) -> None:
        runs.append(1)
        if len(runs) <= 3:
            raise SourceError("refused", "connection refused")
        works()
        stop.wait(10)

    with capture_logs() as lines:
        supervisor.start("stream", work)
        eventually(lambda: not supervisor.trouble())
        stop.set()
        assert [] == supervisor.join(5)
    assert 4 == len(runs)
    assert ["supervisor.source_failed", "supervisor.source_works"] == [line["event"] for line in lines]
    assert [] == bugs


def test_bug_is_counted_and_survived() -> None:
    """An unexpected error is logged with its traceback and counted, and the work is started again."""
    stop = threading.Event()
    bugs: list[str] = []
    runs: list[int] = []
    supervisor = Supervisor(SystemClock(), stop, bugs.append)

    def work(works: Callable[[], None]) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ZeroDivisionError
        works()
        stop.wait(10)

    with capture_logs() as lines:
        supervisor.start("stream", work)
        eventually(lambda: len(runs) == 2 and not supervisor.trouble())
        stop.set()
        supervisor.join(5)
    assert ["stream"] == bugs
    assert "supervisor.bug_met" == lines[0]["event"]
    assert lines[0]["exc_info"]


def test_trouble_is_told_while_it_lasts() -> None:
    """Failing work is reported with its reason while it fails, and does not count as dead."""
    stop = threading.Event()
    supervisor = Supervisor(SystemClock(), stop, lambda _: None)

    def work(works: Callable[[], None]) -> None:
        raise SourceError("timeout", "too slow")

    with capture_logs():
        supervisor.start("stream", work)
        eventually(lambda: supervisor.trouble() == {"stream": "timeout"})
        assert [] == supervisor.dead()
        stop.set()
        supervisor.join(5)


def test_threads_that_do_not_end_are_named() -> None:
    """Joining ends at its deadline and returns the names of the threads that still run."""
    stop, gate = threading.Event(), threading.Event()
    supervisor = Supervisor(SystemClock(), stop, lambda _: None)

    def stuck(_works: Callable[[], None]) -> None:
        gate.wait(10)

    supervisor.start("stuck", stuck)
    stop.set()
    assert ["stuck"] == supervisor.join(0.05)
    gate.set()
    assert [] == supervisor.join(5)
