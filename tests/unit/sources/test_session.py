"""Batches of commands on a connection that fails in the midst of one."""

import socket
from contextlib import closing

import pytest

from exporter.clock import SystemClock
from exporter.errors import SourceError
from exporter.sources.session import Session
from exporter.sources.wire import Endpoint, Wire
from tests.garbage import Body, frees_at_once
from tests.unit.sources.test_wire_faults import Connection

PING = [("PING",)]


def test_a_batch_that_failed_holds_nothing_of_who_waited() -> None:
    """A server that goes while it is waited for is told by ``end``, and who waited is freed at once."""
    session = Session(Endpoint("redis://127.0.0.1:1", timeout=1.0), SystemClock())

    def scrape(_body: Body) -> None:
        ours, theirs = socket.socketpair()
        session._wire = Wire(Connection(ours))
        with closing(theirs):
            assert session.begin(PING, 1.0)
        assert session.gather(1.0)
        with pytest.raises(SourceError) as caught:
            session.end()
        assert "closed" == caught.value.reason
        del caught

    assert frees_at_once(scrape)
    session.close()
