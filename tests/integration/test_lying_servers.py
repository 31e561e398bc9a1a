# SPDX-License-Identifier: Apache-2.0
"""Cost of a malicious server: the real client and exporter read from a server that announces endless replies."""

from collections.abc import Callable
from contextlib import closing

import psutil
import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.tuning import MOST_GROWTH
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.event_stream import EventStream
from celery_redis_exporter.sources.replies import MOST_REPLY
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint
from tests.integration.conftest import Programs
from tests.integration.lying_server import lying_server
from tests.support.options import topic
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("limited_memory")]

CLOCK = SystemClock()
LISTS = {
    "a list": b"*2999999999\r\n",
    "a list in a list": b"*1\r\n*3\r\n:1\r\n*2999999999\r\n",
    "a set": b"~2999999999\r\n",
    "a push": b">2999999999\r\n",
}
SUBSCRIBED = b"+OK\r\n:1\r\n*3\r\n$10\r\npsubscribe\r\n$13\r\n/0.celeryev/*\r\n:1\r\n"
SECONDS = 1.0
"""Limit of seconds for a false length; without a bound the longest list takes more than 4 s."""
MEMORY = 40 * 2**20
ENDLESS_MEMORY = 2 * MOST_REPLY + MEMORY
"""Limit of seconds until the exporter stops reading an endless reply."""


def cost(work: Callable[[], object]) -> tuple[str, float, int]:
    """Call ``work``, which raises a SourceError; return its reason, the seconds, and the growth of memory in bytes."""
    process = psutil.Process()
    memory, started = process.memory_info().rss, CLOCK.monotonic()
    with pytest.raises(SourceError) as caught:
        work()
    return caught.value.reason, CLOCK.monotonic() - started, process.memory_info().rss - memory


@pytest.mark.parametrize("lie", LISTS.values(), ids=LISTS)
def test_commands(lie: bytes) -> None:
    """A reply that announces an endless length is a protocol error, at once."""
    with lying_server(lie) as server:
        session = Session(Endpoint(server.url, timeout=5.0), CLOCK)
        reason, seconds, memory = cost(lambda: session.exchange([("SCAN", 0)], 5.0))
        assert "protocol" == reason
        assert seconds < SECONDS
        assert memory < MEMORY


@pytest.mark.parametrize("lie", LISTS.values(), ids=LISTS)
def test_connecting(lie: bytes) -> None:
    """Replies that redis-py receives while it connects (here to SELECT) are bounded as well."""
    with lying_server(lie) as server:
        endpoint = Endpoint(server.url, timeout=5.0, db=3)
        reason, seconds, memory = cost(endpoint.open)
        assert "protocol" == reason
        assert seconds < SECONDS
        assert memory < MEMORY


@pytest.mark.parametrize("lie", LISTS.values(), ids=LISTS)
def test_events(lie: bytes) -> None:
    """A subscription that receives such a list instead of an event is closed at once."""
    with lying_server(SUBSCRIBED + lie) as server:
        stream = EventStream(Endpoint(server.url, timeout=5.0), topic(), 5.0, CLOCK)

        def listen() -> None:
            with closing(stream):
                stream.open()
                while True:
                    stream.read()

        reason, seconds, memory = cost(listen)
        assert "protocol" == reason
        assert seconds < SECONDS
        assert memory < MEMORY


def test_a_reply_without_an_end() -> None:
    """An endless text ends the read once it is longer than the limit of replies."""
    with lying_server(b"$2999999999\r\n", b"x") as server:
        session = Session(Endpoint(server.url, timeout=30.0), CLOCK)
        reason, _, memory = cost(lambda: session.exchange([("GET", "a")], 30.0))
        assert "protocol" == reason
        assert memory < ENDLESS_MEMORY


def test_a_list_of_lists_without_an_end() -> None:
    """Endless empty lists, each of which takes many times its bytes, stop at the memory limit of the process."""
    with lying_server(b"*50000000\r\n", b"*0\r\n") as server:
        session = Session(Endpoint(server.url, timeout=30.0), CLOCK)
        reason, _, memory = cost(lambda: session.exchange([("SCAN", 0)], 30.0))
        assert "protocol" == reason
        assert memory < MOST_GROWTH + MEMORY


def test_the_exporter_before_a_liar(programs: Programs) -> None:
    """The exporter keeps answering scrapes, with the reason, and does not grow with the number of such replies."""
    with lying_server(b"*2999999999\r\n") as liar:
        exporter = programs.exporter("--broker-url", liar.url, "--scrape.freshness", "0s")
        process = psutil.Process(exporter.process.pid)
        eventually(lambda: exporter.value("redis_exporter_last_scrape_error", redis="broker", err="protocol") == 1)
        memory = process.memory_info().rss

        def lied_to_often() -> bool:
            started = CLOCK.monotonic()
            assert 0 == exporter.value("redis_up", redis="broker")
            assert CLOCK.monotonic() - started < SECONDS
            return liar.answered >= 30

        eventually(lied_to_often)
        assert process.memory_info().rss - memory < MEMORY
        refused = "celery_exporter_event_stream_reconnects_total"
        eventually(lambda: (exporter.value(refused, reason="protocol") or 0) >= 2)
        assert exporter.metrics("celery_exporter_unexpected_errors_total") == {}
