# SPDX-License-Identifier: Apache-2.0
"""Comparison of the executions that heartbeats count with the task-started events."""

from heapq import heapify, heappop
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.state.ledger import SURPLUS_PERIODS, StartsLedger


class Execution(NamedTuple):
    """An execution of a simulated worker; times in milliseconds.

    ``pause`` is the time since the previous execution was counted, ``stamped`` the time from the count to the
    timestamp of its task-started, ``travels`` the time from the timestamp to its arrival.
    """

    pause: int
    stamped: int
    travels: int
    is_lost: bool


EXECUTIONS = st.lists(
    st.builds(
        Execution,
        pause=st.one_of(st.integers(0, 3), st.integers(0, 2000)),
        stamped=st.integers(0, 20),
        travels=st.one_of(st.just(1), st.integers(0, 900)),
        is_lost=st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)


@given(EXECUTIONS, st.integers(0, 3), st.sampled_from([20, 100]))
def test_losses_of_a_simulated_worker_are_exact(
    executions: list[Execution], read_before: int, beat_travels: int
) -> None:
    """Missing starts never exceed lost ones and equal them at the end, however starts and heartbeats overlap."""
    counted, arrivals, now = list[tuple[int, bool]](), list[tuple[int, int, bool]](), 10
    for pause, stamped, travels, is_lost in executions:
        now += pause
        counted.append((now, is_lost))
        if not is_lost:
            arrivals.append((now + stamped + travels, now + stamped, False))
    beats = range(0, now + 8000, 1000)
    arrivals += [(at + beat_travels, at, True) for at in beats]
    heapify(arrivals)
    ledger, missing = StartsLedger(), 0
    ledger.seen_any = True
    while arrivals:
        _, at, is_beat = heappop(arrivals)
        if not is_beat:
            ledger.started(at / 1000)
            continue
        processed = [is_lost for time, is_lost in counted if time <= at - read_before]
        missing += ledger.heartbeat(len(processed), at / 1000)[0]
        assert missing <= sum(processed)
    assert missing == sum(is_lost for _, is_lost in counted)


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6), max_size=12))
def test_missing_is_exactly_what_was_lost(periods: list[list[tuple[bool, bool]]]) -> None:
    """The sum of missing starts is the number of lost ones, whichever starts are lost or arrive late."""
    ledger, processed, missing, lost = StartsLedger(), 0, 0, 0
    ledger.started(0.5)  # the worker sends task events
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
    for number in range(3):
        missing += ledger.heartbeat(processed, len(periods) + 2.0 + number)[0]
    assert lost == missing


def test_a_start_that_is_stamped_after_a_heartbeat_that_counts_it_is_not_missing() -> None:
    """A gevent worker stamps the last of 24 starts just after the heartbeat that counts it: nothing is missing."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 8.0)
    for number in range(23):
        ledger.started(9.0 + number / 100)
    ledger.heartbeat(24, 10.0)
    ledger.started(10.0009)
    assert [(0, False)] * 4 == [ledger.heartbeat(24, 12.0 + 2 * number) for number in range(4)]


def test_a_loss_after_a_late_stamp_is_missing() -> None:
    """A start with a late timestamp does not hide a later loss, which is missing two heartbeats later."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 8.0)
    ledger.heartbeat(1, 10.0)
    ledger.started(10.0009)
    ledger.heartbeat(1, 12.0)
    ledger.heartbeat(2, 14.0)
    assert [0, 1, 0, 0] == [ledger.heartbeat(2, 16.0 + 2 * number)[0] for number in range(4)]


def test_a_busy_worker_that_stamps_late_at_every_heartbeat_misses_nothing() -> None:
    """If each heartbeat counts three starts with later timestamps, nothing is missing in any period."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 0.0)
    settled = []
    for number in range(1, 30):
        for index in range(10):
            ledger.started(number - 1 + (0.001 + index / 1000 if index < 3 and number > 1 else 0.6))
        settled.append(ledger.heartbeat(10 * number + 3, float(number))[0])
    assert [0] * 29 == settled


@pytest.mark.parametrize("between", [0, 3])
def test_losses_of_a_busy_worker_do_not_wait_for_its_pause(between: int) -> None:
    """Lost starts are missing at once, except as many as the worker may have counted and not yet stamped."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 0.0, between)
    missing = 0
    for number in range(1, 6):
        for index in range(100):
            ledger.started(number - 1 + 0.001 + index / 101)
        missing += ledger.heartbeat(100 * number + 10, float(number), between)[0]
    assert 10 - between == missing


def test_a_surplus_is_no_credit_for_a_later_loss() -> None:
    """A start that was counted before the first heartbeat and stamped after it does not hide a later loss."""
    ledger = StartsLedger()
    ledger.heartbeat(5, 2.0)
    ledger.started(2.001)
    for number in range(SURPLUS_PERIODS + 2):
        ledger.heartbeat(5, 4.0 + 2 * number)
    ledger.heartbeat(6, 30.0)
    assert [0, 1, 0] == [ledger.heartbeat(6, 32.0 + 2 * number)[0] for number in range(3)]


def test_a_thread_that_stamps_before_the_heartbeat_that_does_not_count_it_misses_nothing() -> None:
    """A start that is stamped before a heartbeat and counted in the next one is a surplus for one period only."""
    ledger = StartsLedger()
    ledger.heartbeat(0, 2.0)
    settled = []
    for number in range(1, 4):
        ledger.started(2.0 + 2 * number - 0.0001)
        settled.append(ledger.heartbeat(number - 1, 2.0 + 2 * number)[0])
    settled += [ledger.heartbeat(3, 10.0 + 2 * number)[0] for number in range(4)]
    assert [0] * 7 == settled


def test_clock_of_the_worker_set_back() -> None:
    """If a worker's clock steps back by an hour, no start is missing."""
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
    """A start with the timestamp of a heartbeat that arrives after the heartbeat is never reported as missing."""
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
    settled = [ledger.heartbeat(number, 1.0 + number) for number in range(1, 5)]
    assert [(0, False), (0, False), (1, True), (0, True)] == settled
