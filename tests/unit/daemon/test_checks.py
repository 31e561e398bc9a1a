# SPDX-License-Identifier: Apache-2.0
"""What the exporter reports of its own loops."""

import threading
from collections.abc import Callable

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.daemon.checks import background_checks
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.settings import load
from tests.support.waiting import eventually


def test_a_loop_that_has_not_worked_yet_is_starting() -> None:
    """A loop is starting until it works or fails for the first time, since nothing is known to be wrong before."""
    clock, stop, may_work = SystemClock(), threading.Event(), threading.Event()
    settings = load(["--queues.discovery-interval=0"], {})
    application = Application(settings, Endpoints(settings, clock), clock)
    supervisor = Supervisor(clock, stop, lambda _: None)

    def work(works: Callable[[], None]) -> None:
        may_work.wait(60)
        works()
        stop.wait(60)

    def fail(_: Callable[[], None]) -> None:
        may_work.wait(60)
        raise SourceError("refused", "connection refused")

    def states() -> dict[str, tuple[str, str]]:
        return {one.check: (one.state, one.detail) for one in background_checks(application, supervisor)}

    supervisor.start("event_stream", work)
    supervisor.start("control", fail)
    assert {"Event stream": ("starting", "starting"), "Control": ("starting", "starting")} == states()
    may_work.set()
    eventually(lambda: {"Event stream": ("ok", "connected"), "Control": ("failed", "refused")} == states())
    stop.set()
    assert [] == supervisor.join(60)
