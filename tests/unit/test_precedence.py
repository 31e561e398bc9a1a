"""Who goes first, and who lets them."""

import threading

from exporter.precedence import REST, Precedence
from tests.fakes import FakeClock
from tests.waiting import eventually


def _waiting(precedence: Precedence) -> threading.Thread:
    thread = threading.Thread(target=precedence.give_way, daemon=True)
    thread.start()
    return thread


def test_events_wait_until_the_last_scrape_is_answered() -> None:
    """Who gives way goes on when the last of those that go first is done, and not before."""
    precedence = Precedence(FakeClock())
    precedence.longest = 60.0  # so that nothing else can end it
    with precedence:
        with precedence:
            thread = _waiting(precedence)
        thread.join(0.05)
        assert thread.is_alive()
    eventually(lambda: not thread.is_alive())


def test_nobody_waits_for_nobody() -> None:
    """Without a scrape events go on, and so they do after one."""
    precedence = Precedence(FakeClock())
    precedence.longest = 60.0
    precedence.give_way()
    with precedence:
        pass
    precedence.give_way()


def test_events_wait_for_a_while_only() -> None:
    """A scrape that takes longer holds nobody up for more than that, and not again before the rest is over."""
    clock = FakeClock()
    precedence = Precedence(clock)
    with precedence:
        precedence.give_way()
        precedence.longest = 60.0
        precedence.give_way()  # at rest: would not come back
        clock.advance(REST * 1.01)
        thread = _waiting(precedence)
        thread.join(0.05)
        assert thread.is_alive()
    eventually(lambda: not thread.is_alive())
