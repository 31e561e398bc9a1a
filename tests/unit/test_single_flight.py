"""One run for everybody, and nobody waits longer than it wants to."""

import contextlib
import threading
from collections.abc import Callable

import pytest

from exporter.clock import SystemClock
from exporter.errors import SourceError
from exporter.single_flight import SingleFlight
from tests.waiting import eventually

CLOCK = SystemClock()


class Work:
    """Counts its runs; hangs while ``gate`` is closed."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def __call__(self, _deadline: float) -> int:
        """Run once."""
        self.runs += 1
        self.gate.wait(10)
        if self.fails:
            raise SourceError("refused", "no")
        return self.runs


def start(work: Callable[[float], int], freshness: float = 0) -> SingleFlight[int]:
    """A flight whose work runs in a thread that starts it again, as the supervisor does."""
    flight = SingleFlight(work, CLOCK, freshness)

    def keep_going() -> None:
        with contextlib.suppress(ZeroDivisionError):
            flight.run(lambda: None)
            return
        keep_going()

    threading.Thread(target=keep_going, daemon=True).start()
    return flight


def result(flight: SingleFlight[int], deadline: float = 5.0) -> int:
    """Ask and wait."""
    flight.ask(deadline)
    return flight.wait(CLOCK.monotonic() + deadline)


@pytest.fixture
def work() -> Work:
    """A piece of work."""
    return Work()


def test_concurrent_callers_share_a_run(work: Work) -> None:
    """Callers that come during a run get that run's result."""
    flight = start(work, 0)
    work.gate.clear()
    results: list[int] = []
    callers = [threading.Thread(target=lambda: results.append(result(flight))) for _ in range(10)]
    for caller in callers:
        caller.start()
    eventually(lambda: work.runs == 1)
    work.gate.set()
    for caller in callers:
        caller.join(5)
    flight.stop()
    assert 10 == len(results)
    assert 3 >= work.runs


def test_fresh_result_is_given_again(work: Work) -> None:
    """A result within its freshness is given again without a new run; an older one is not."""
    fresh = start(work, 60)
    assert [1, 1] == [result(fresh), result(fresh)]
    fresh.stop()
    stale = start(work, 0)
    assert [2, 3] == [result(stale), result(stale)]
    stale.stop()


def test_hanging_work_does_not_hold_its_callers(work: Work) -> None:
    """Who waits gets a timeout at its deadline while the work hangs, and the result once it is there."""
    flight = start(work, 60)
    work.gate.clear()
    for _ in range(2):
        with pytest.raises(SourceError) as caught:
            result(flight, 0.05)
        assert "timeout" == caught.value.reason
    work.gate.set()
    assert 1 == eventually(lambda: result(flight))
    flight.stop()


def test_failure_is_shared_and_not_remembered_for_ever(work: Work) -> None:
    """A failure reaches the caller with its reason, and the next run may succeed."""
    flight = start(work, 0)
    work.fails = True
    with pytest.raises(SourceError) as caught:
        result(flight)
    assert "refused" == caught.value.reason
    work.fails = False
    assert 2 == result(flight)
    flight.stop()


def test_stop_releases_who_waits(work: Work) -> None:
    """Stopping ends the wait of everybody at once."""
    flight = start(work, 0)
    work.gate.clear()
    reasons: list[str] = []

    def call() -> None:
        try:
            result(flight, 60)
        except SourceError as error:
            reasons.append(error.reason)

    caller = threading.Thread(target=call)
    caller.start()
    eventually(lambda: work.runs == 1)
    flight.stop()
    caller.join(5)
    assert ["closed"] == reasons
    work.gate.set()


def test_bug_in_the_work_ends_as_a_failure_of_that_run(work: Work) -> None:
    """An error that nobody expects is handed to the callers and does not end the thread."""
    calls: list[float] = []

    def broken(deadline: float) -> int:
        calls.append(deadline)
        if len(calls) == 1:
            raise ZeroDivisionError
        return 7

    flight = start(broken, 0)
    with pytest.raises(SourceError) as caught:
        result(flight)
    assert "bug" == caught.value.reason
    assert 7 == result(flight)
    flight.stop()
