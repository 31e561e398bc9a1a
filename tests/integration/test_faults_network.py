# SPDX-License-Identifier: Apache-2.0
"""Faults of the network between exporter and broker."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from celery import Celery

from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.faults import BACK_SECONDS, NOTICE_SECONDS, ends_politely, recovers, watched
from tests.integration.faulty_network import FaultyNetwork, faulty_network
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

RECONNECTS = "celery_exporter_event_stream_reconnects_total"


@dataclass(frozen=True)
class Line:
    """A broker behind a faulty network, an exporter that receives its events, and a publisher connected directly."""

    network: FaultyNetwork
    exporter: Exporter
    app: Celery

    @property
    def counted(self) -> int:
        """Return the number of counted tasks."""
        return int(self.exporter.account("counted")["sent"])

    def settle(self) -> None:
        """Publish until a task is counted, because a failed connection may not be closed yet."""
        before = self.counted

        def grown() -> bool:
            self.app.send_task("counted")
            return self.counted > before

        eventually(grown, BACK_SECONDS)

    def is_cut(self) -> None:
        """Wait until the exporter has noticed the fault. Until then it looks healthy, and published events are lost."""
        eventually(lambda: (self.exporter.value(RECONNECTS, reason="closed") or 0) >= 1)

    def publish(self, count: int, total: int) -> None:
        """Publish tasks, and wait until the total number is counted."""
        for _ in range(count):
            self.app.send_task("counted")
        eventually(lambda: self.exporter.account("counted") == {"sent": total})


@pytest.fixture
def line(programs: Programs) -> Iterator[Line]:
    """Yield such a line after three tasks were counted."""
    with ExitStack() as ending:
        server = programs.redis()
        network = ending.enter_context(faulty_network(server.port))
        flags = ("--events.idle-timeout", "1s", "--scrape.deadline", "500ms", "--scrape.freshness", "0")
        exporter = programs.exporter("--broker-url", f"redis://127.0.0.1:{network.port}/0", *flags)
        eventually(exporter.hears)
        line = Line(network, exporter, programs.publisher(server))
        line.publish(3, 3)
        yield line


def test_a_reset_in_the_middle_of_a_frame(line: Line) -> None:
    """If a connection is reset in the middle of an event, only that event is lost, and no part of it is counted."""
    with watched(line.exporter):
        line.network.cut(b"pmessage", after=60)
        line.app.send_task("counted")
        line.is_cut()
        recovers(line.exporter)
    line.publish(2, 5)
    assert not line.exporter.metrics("celery_exporter_events_invalid_total{")


def test_connections_that_are_reset(line: Line) -> None:
    """If all connections are reset at once, the exporter connects again."""
    with watched(line.exporter):
        line.network.reset()
        line.is_cut()
        recovers(line.exporter)
    line.publish(2, 5)


def test_packets_that_vanish(line: Line) -> None:
    """If the network drops everything, the exporter notices it within the idle timeout, and recovers afterwards."""
    with watched(line.exporter):
        line.network.hole = True
        eventually(lambda: line.exporter.value("celery_exporter_event_stream_up") == 0, NOTICE_SECONDS)
        assert line.exporter.value("redis_up", redis="broker") == 0
        assert line.exporter.value("redis_exporter_last_scrape_error", redis="broker", err="timeout") == 1
        assert {"sent": 3} == line.exporter.account("counted")
        line.network.hole = False
        recovers(line.exporter)
    line.publish(2, 5)


def test_a_slow_network(line: Line) -> None:
    """With a network delay of two seconds the server is down with the reason timeout, and scrapes still succeed."""
    with watched(line.exporter):
        line.network.delay = 2.0
        line.app.send_task("counted")
        eventually(lambda: line.exporter.value("redis_exporter_last_scrape_error", redis="broker", err="timeout") == 1)
        line.network.delay = 0.0
        recovers(line.exporter)
    line.settle()
    for _ in range(2):
        line.app.send_task("again")
    eventually(lambda: line.exporter.account("again") == {"sent": 2})


@pytest.mark.parametrize(
    "fault",
    [
        lambda network: setattr(network, "hole", True),
        lambda network: setattr(network, "delay", 2.0),
        lambda network: network.cut(b"pmessage", after=60),
        lambda network: network.reset(),
    ],
    ids=["hole", "delay", "cut", "reset"],
)
def test_signals_end_it_during_a_fault(line: Line, fault: Callable[[FaultyNetwork], None]) -> None:
    """SIGTERM ends the exporter in time with exit code 0 during any fault of the network."""
    fault(line.network)
    line.app.send_task("counted")
    ends_politely(line.exporter)
