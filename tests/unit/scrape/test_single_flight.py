"""One run for everybody, and nobody waits longer than it wants to."""

import threading
from collections.abc import Callable

import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.scrape.single_flight import SingleFlight
from tests.garbage import Body, frees_at_once
from tests.waiting import eventually

CLOCK = SystemClock()


class Slow:
    """Work that can't be begun without waiting: counts its runs; hangs while ``gate`` is closed."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.threads: set[str] = set()

    def begin(self, _deadline: float) -> bool:
        """Refuse."""
        return False

    def gather(self, patience: float) -> bool:
        """Wait a little."""
        return self.gate.wait(patience)

    def end(self) -> int:
        """Run once."""
        return self.run(0)

    def run(self, _deadline: float) -> int:
        """Run once."""
        self.runs += 1
        self.threads.add(threading.current_thread().name)
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return self.runs


class Quick(Slow):
    """The same, which can be begun without waiting."""

    def begin(self, _deadline: float) -> bool:
        """Begin, unless that fails."""
        if isinstance(self.error, SourceError):
            raise self.error
        return True


def attempt(call: Callable[[], int]) -> int:
    """Turn a bug into a SourceError, as the supervisor does."""
    try:
        return call()
    except ZeroDivisionError:
        raise SourceError("bug", "see the log") from None


def start(work: Slow, freshness: float = 0) -> SingleFlight[int]:
    """A flight with its thread."""
    flight = SingleFlight(work, CLOCK, freshness, attempt)
    threading.Thread(target=flight.run, args=(lambda: None,), name="flight", daemon=True).start()
    return flight


def result(flight: SingleFlight[int], deadline: float = 5.0) -> int:
    """Ask and wait."""
    flight.ask(deadline)
    return flight.wait(CLOCK.monotonic() + deadline)


@pytest.fixture(params=[Slow, Quick])
def work(request: pytest.FixtureRequest) -> Slow:
    """A piece of work, of both kinds."""
    made: Slow = request.param()
    return made


def test_concurrent_callers_share_a_run(work: Slow) -> None:
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


def test_fresh_result_is_given_again(work: Slow) -> None:
    """A result within its freshness is given again without a new run; an older one is not."""
    fresh = start(work, 60)
    assert [1, 1] == [result(fresh), result(fresh)]
    fresh.stop()
    stale = start(work, 0)
    assert [2, 3] == [result(stale), result(stale)]
    stale.stop()


def test_hanging_work_does_not_hold_its_callers(work: Slow) -> None:
    """Who waits gets a timeout at its deadline while the work hangs, and the result once it is there."""
    flight = start(work, 60)
    work.gate.clear()
    holder = threading.Thread(target=lambda: result(flight))  # a quick one holds who ends it, for its own deadline
    holder.start()
    eventually(lambda: work.runs == 1)
    for _ in range(2):
        with pytest.raises(SourceError) as caught:
            result(flight, 0.05)
        assert "timeout" == caught.value.reason
    work.gate.set()
    holder.join(5)
    assert 1 == result(flight)
    flight.stop()


def test_failure_is_shared_and_not_remembered_for_ever(work: Slow) -> None:
    """A failure reaches the caller with its reason, and the next run may succeed."""
    flight = start(work, 0)
    work.error = SourceError("refused", "no")
    with pytest.raises(SourceError) as caught:
        result(flight)
    assert "refused" == caught.value.reason
    work.error = None
    assert 2 == result(flight)
    flight.stop()


def test_stop_releases_who_waits(work: Slow) -> None:
    """Stopping ends the wait of everybody at once, but for who ends the work: closing its connection does that."""
    flight = start(work, 0)
    work.gate.clear()
    reasons: list[str] = []

    def call() -> None:
        try:
            result(flight, 60)
        except SourceError as error:
            reasons.append(error.reason)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    eventually(lambda: work.runs == 1)
    flight.stop()
    assert "closed" == eventually(lambda: reasons and reasons[0])
    work.gate.set()
    for caller in callers:
        caller.join(5)


def test_bug_in_the_work_ends_as_a_failure_of_that_run(work: Slow) -> None:
    """An error that nobody expects is handed to the callers and does not end the thread."""
    flight = start(work, 0)
    work.error = ZeroDivisionError()
    with pytest.raises(SourceError) as caught:
        result(flight)
    assert "bug" == caught.value.reason
    work.error = None
    assert 2 == result(flight)
    flight.stop()


def test_quick_work_wakes_no_thread() -> None:
    """Work that can be begun without waiting is ended by who asked for it; if beginning fails, the thread does it."""
    quick, slow = Quick(), Slow()
    for work in (quick, slow):
        flight = start(work)
        result(flight)
        flight.stop()
    assert ({"MainThread"}, {"flight"}) == (quick.threads, slow.threads)
    broken = Quick()
    flight = start(broken)
    broken.error = SourceError("closed", "gone")
    flight.ask(5)
    broken.error = None
    assert flight.wait(CLOCK.monotonic() + 5) in (1, 2)
    assert {"flight"} == broken.threads
    flight.stop()


def test_gathering() -> None:
    """Gathering tells whether waiting will be short, and leaves the ending to whoever waits."""
    work = Quick()
    flight = start(work, 60)
    work.gate.clear()
    flight.ask(5)
    assert not flight.gather(0.01)
    work.gate.set()
    assert flight.gather(0.01)
    assert 1 == flight.wait(CLOCK.monotonic() + 5)
    assert flight.gather(0)  # the result is there, and fresh
    assert 1 == work.runs
    flight.stop()


def test_what_was_begun_and_left_is_ended_by_the_next_who_waits() -> None:
    """A caller that begins and never waits costs the others nothing."""
    work = Quick()
    flight = start(work)
    deserter = threading.Thread(target=flight.ask, args=(5,))
    deserter.start()
    deserter.join(5)
    assert 1 == result(flight)
    flight.stop()


class Failing(Slow):
    """Work that can be begun, and fails in the end."""

    def begin(self, _deadline: float) -> bool:
        """Begin."""
        return True

    def end(self) -> int:
        """Fail."""
        raise SourceError("closed", "as always")


def test_a_failure_holds_nothing_of_who_waited() -> None:
    """Who is told of a failure is freed as soon as it is done, not when the garbage collector comes by."""
    flight = start(Failing())

    def scrape(_body: Body) -> None:
        for _ in range(2):
            with pytest.raises(SourceError):
                result(flight)

    assert frees_at_once(scrape)
    flight.stop()
