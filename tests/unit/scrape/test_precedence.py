"""Who goes first, and who lets them."""

import threading

from celery_redis_exporter.scrape.precedence import REST, Precedence
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


class TickingClock(FakeClock):
    """A clock on which each look takes a second."""

    def monotonic(self) -> float:
        """A second later than before."""
        self.advance(1.0)
        return super().monotonic()


def test_events_wait_for_a_while_only() -> None:
    """A scrape that takes longer holds nobody up for more than that, and not again for a multiple of what it took."""
    precedence = Precedence(TickingClock())
    with precedence:
        precedence.give_way()  # a second by that clock
        precedence.longest = 60.0
        for _ in range(REST - 1):
            precedence.give_way()  # at rest: would not come back
        thread = _waiting(precedence)
        thread.join(0.05)
        assert thread.is_alive()
    eventually(lambda: not thread.is_alive())
