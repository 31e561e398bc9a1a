# SPDX-License-Identifier: Apache-2.0
"""Many servers in few threads: which are read first, and how servers that hang affect the others."""

import math
import threading
from collections.abc import Callable, Iterator

import pytest

from celery_redis_exporter.scrape.read_pool import FIRST_SHARE, MOST_THREADS, ReadPool
from tests.support.waiting import eventually


class Read:
    """A read that records when it runs, and hangs while ``gate`` is closed."""

    def __init__(self, number: int, order: list[int]) -> None:
        self.number = number
        self.is_known = True
        self.is_doubtful = False
        self.began = -math.inf
        self.shares: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self._order = order

    def read(self, share: float) -> None:
        """Record the read, and wait."""
        self.shares.append(share)
        self._order.append(self.number)
        assert self.gate.wait(30)


class Trial:
    """A pool for some servers."""

    def __init__(self, servers: int) -> None:
        self.order: list[int] = []
        self.reads = [Read(number, self.order) for number in range(servers)]
        self.threads: list[threading.Thread] = []
        self.pool = ReadPool(self._start)
        self.pool.serve(servers)

    def _start(self, name: str, work: Callable[[Callable[[], None]], None]) -> None:
        self.threads.append(threading.Thread(target=work, args=(lambda: None,), name=name, daemon=True))
        self.threads[-1].start()

    def close(self) -> None:
        """Stop the pool and its threads."""
        self.pool.stop()
        for read in self.reads:
            read.gate.set()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def hundred() -> Iterator[Trial]:
    """Yield a pool for a hundred servers."""
    trial = Trial(100)
    yield trial
    trial.close()


def test_threads_are_as_many_as_servers_and_few() -> None:
    """The pool has a thread per server up to a limit, and no thread ends while servers are added and removed."""
    trial = Trial(3)
    names = [thread.name for thread in trial.threads]
    trial.pool.serve(200)
    trial.pool.serve(1)
    assert (["read_1", "read_2", "read_3"], MOST_THREADS) == (names, len(trial.threads))
    trial.close()
    assert not any(thread.is_alive() for thread in trial.threads)


def test_servers_that_hang_leave_threads_to_the_others(hundred: Trial) -> None:
    """Servers that did not answer last time occupy at most half of the threads, so that all others are read."""
    hanging = hundred.reads[:10]
    for read in hanging:
        read.is_doubtful = True
        read.gate.clear()
    hundred.pool.put(hundred.reads)
    eventually(lambda: len(hundred.order) == 90 + MOST_THREADS // 2)
    assert set(range(10, 100)) <= set(hundred.order)


def test_each_of_those_that_hang_is_tried_again(hundred: Trial) -> None:
    """The server whose last attempt is oldest is read first, among those that hang and those that answer."""
    for read in hundred.reads[:50]:
        read.is_doubtful = True
    for read in hundred.reads:
        read.began = 1000.0 - read.number
        read.gate.clear()
    hundred.pool.put(hundred.reads)
    eventually(lambda: len(hundred.order) == MOST_THREADS)
    assert set(range(92, 100)) == set(hundred.order)
    for read in hundred.reads:
        read.gate.set()
    eventually(lambda: len(hundred.order) == 100)
    assert {46, 47, 48, 49} == set([number for number in hundred.order if number < 50][:4])


def test_a_first_read_has_a_part_of_the_time_in_a_crowd(hundred: Trial) -> None:
    """A first read has a share of the time, and the whole time if each server has a thread."""
    new, known = hundred.reads[0], hundred.reads[1]
    new.is_known = False
    hundred.pool.put([new, known])
    eventually(lambda: len(hundred.order) == 2)
    assert ([FIRST_SHARE], [1.0]) == (new.shares, known.shares)
    few = Trial(2)
    few.reads[0].is_known = False
    few.pool.put(few.reads)
    eventually(lambda: few.reads[0].shares == [1.0])
    few.close()
