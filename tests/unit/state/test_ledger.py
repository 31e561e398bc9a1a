"""The double entry of executions against task-started events."""

from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.state.ledger import StartsLedger


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6), max_size=12))
def test_missing_is_exactly_what_was_lost(periods: list[list[tuple[bool, bool]]]) -> None:
    """Whatever is lost and whatever arrives late, the sum of missing starts is the number of lost ones."""
    ledger, processed, missing, lost = StartsLedger(), 0, 0, 0
    ledger.started(0.5)  # the worker is known to send task events
    ledger.heartbeat(0, 1.0)
    late: list[float] = []
    for number, executions in enumerate(periods, start=1):
        for timestamp in late:
            ledger.started(timestamp)
        late = []
        for index, (is_lost, is_late) in enumerate(executions):
            timestamp = number + 0.1 + index / 100
            processed += 1
            lost += is_lost
            if not is_lost and is_late:
                late.append(timestamp)
            elif not is_lost:
                ledger.started(timestamp)
        missing += ledger.heartbeat(processed, number + 1.0)[0]
    for timestamp in late:
        ledger.started(timestamp)
    for number in range(2):
        missing += ledger.heartbeat(processed, len(periods) + 2.0 + number)[0]
    assert lost == missing


def test_clock_of_the_worker_set_back() -> None:
    """A worker whose clock steps back by an hour loses nothing thereby."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 10_000.0)
    ledger.started(10_001.0)
    total = ledger.heartbeat(1, 10_002.0)[0]
    for number in range(1, 5):
        ledger.started(6_400.0 + number)
        total += ledger.heartbeat(1 + number, 6_400.5 + number)[0]
    for number in range(3):
        total += ledger.heartbeat(5, 6_410.0 + number)[0]
    assert 0 == total


def test_a_start_with_the_timestamp_of_a_heartbeat_is_not_missing() -> None:
    """A start that has the timestamp of a heartbeat and arrives after it is not reported missing, now or later."""
    ledger = StartsLedger()
    ledger.started(1.0)
    ledger.heartbeat(1, 2.0)
    ledger.heartbeat(2, 3.0)
    ledger.started(3.0)
    assert [(0, False)] * 3 == [ledger.heartbeat(2, 4.0 + number) for number in range(3)]


def test_an_idle_worker_is_not_silent() -> None:
    """A worker that executed nothing is not reported as one that sends no task events."""
    ledger = StartsLedger()
    assert [(0, False)] * 4 == [ledger.heartbeat(7, float(number)) for number in range(4)]


def test_silence_is_reported_again_after_an_interruption() -> None:
    """After an interruption missing starts are losses for two heartbeats; from the third on, the worker is silent."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 1.0)
    ledger.gap()
    settled = [ledger.heartbeat(number, 1.0 + number) for number in range(1, 4)]
    assert [(0, False), (1, False), (0, True)] == settled
