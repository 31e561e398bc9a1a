# SPDX-License-Identifier: Apache-2.0
"""The state that a restart must keep, copied and restored."""

from collections.abc import Sequence
from functools import cache
from itertools import zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.catalog import CATALOG, Kind, Metric, internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.decode.saved_state import decode_state, encode_state
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, Syntax
from celery_redis_exporter.records.events import (
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)
from celery_redis_exporter.records.samples import Distribution, Family
from celery_redis_exporter.records.saved_state import (
    SavedHistogram,
    SavedLedger,
    SavedPair,
    SavedParts,
    SavedPast,
    SavedQueue,
    SavedSeries,
    SavedState,
    SavedWorker,
)
from celery_redis_exporter.settings import Settings, load
from celery_redis_exporter.state.saved_state import GAUGES
from tests.support.fakes import FakeClock
from tests.support.sizes import scaled

QUEUE_NAMES = ("celery", "mail", "bcast.1")
NAMES = ("t.add", "t.mail", "t.\u00e4", "")
WORKERS = ("w1@host", "w2@host", "web-1@host")
KINDS = ("sent", "run", "run", "fail", "retry", "revoke", "online", "beat", "beat", "offline", "wait", "tick")
ACTIONS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 40)), max_size=40)
NATIVE_FLAG = "--metrics.native-histograms"
VARIANTS = (
    (),
    ("--series.zero-first=0",),
    (NATIVE_FLAG,),
    ("--metrics.worker-label",),
    ('--names.worker.rewrite={"web-.*": "web"}', "--metrics.labels=env=test"),
    ('--names.task.rewrite={"t\\\\.(.*)": "$1"}', "--names.queue.exclude=mail"),
    ("--series.max-per-metric=12", "--series.exceptions-per-task=1"),
)
COMMON = ("--no-events.exemplars", "--metrics.created")


@cache
def settings_of(*flags: str) -> Settings:
    """Read settings once per set of flags, because reading takes as long as a hundred examples."""
    return load([*COMMON, *flags], {})


class Process:
    """One process of an exporter that is never connected; all processes share a clock."""

    def __init__(self, clock: FakeClock, *flags: str) -> None:
        self.clock = clock
        read = settings_of(*flags)
        self.application = Application(read, Endpoints(read, clock), clock)
        self.number = 0

    def act(self, kind: str, which: int, number: int) -> None:
        """Apply an action; ``which`` chooses task, queue and worker."""
        if kind in {"sent", "run", "fail", "retry", "revoke"}:
            self.execute(NAMES[which], QUEUE_NAMES[number % 3], WORKERS[which % 3], kind)
        elif kind == "wait":
            self.clock.advance(number)
        elif kind == "tick":
            self.application.events.listening = True
            self.application.events.tick()
        else:
            self.worker(kind, WORKERS[which % 3], number)

    def worker(self, kind: str, name: str, processed: int, pid: int = 1) -> None:
        """Fold an event of a worker."""
        workers, now = self.application.workers, self.clock.epoch
        if kind == "online":
            workers.fold_online(WorkerOnline(name, now, pid, 2.0, 0, processed, None))
        elif kind == "beat":
            workers.fold_heartbeat(WorkerHeartbeat(name, now, pid, 2.0, 0, processed, (0.1, 0.2, 0.3)))
        else:
            workers.fold_offline(WorkerOffline(name, now, pid, 2.0, 0, processed))

    def execute(self, name: str, queue: str, worker: str, kind: str = "run") -> None:
        """Fold the events of an execution, whose end depends on ``kind``."""
        self.number += 1
        uuid, tasks, now = f"{id(self)}-{self.number}", self.application.tasks, self.clock.epoch
        tasks.set_time(self.clock.monotonic())
        tasks.fold_sent(TaskSent(uuid, now, name, queue))
        if kind == "sent":
            return
        tasks.fold_received(TaskReceived(uuid, now, worker, name))
        if kind == "revoke":
            tasks.fold_revoked(TaskRevoked(uuid, now, worker, expired=True))
            return
        tasks.fold_started(TaskStarted(uuid, now + 0.25, worker))
        if kind == "run":
            tasks.fold_succeeded(TaskSucceeded(uuid, now + 1, worker, 0.75))
        elif kind == "fail":
            tasks.fold_failed(TaskFailed(uuid, now + 1, worker), f"Error{self.number % 3}")
        else:
            tasks.fold_retried(TaskRetried(uuid, now + 1, worker), "KeyError")

    def file(self) -> bytes:
        """Return the content of the state file."""
        return encode_state(self.application.lasting.copy().record("b", "n"), clean=True)

    def successor(self, *flags: str, counters: bool = True) -> "Process":
        """Return a process that restores the file of this one."""
        process = Process(self.clock, *flags)
        process.application.lasting.restore(decode_state(self.file()).state, counters=counters)
        return process

    def lasting(self, *, counters: bool = True) -> list[Family]:
        """Return the families that a restart must not change."""
        families = self.application.families()
        names = {metric.name for metric in GAUGES}
        return [
            family
            for family in families
            if family.metric.name in names or (counters and family.metric.kind is not Kind.GAUGE)
        ]

    def render(self, syntax: Syntax, *, counters: bool = True) -> bytes:
        """Return the body of the families that a restart must not change."""
        renderer = Renderer(ProcessMetrics({}), created=True)
        return b"".join(renderer.render(self.lasting(counters=counters), syntax))

    def value(self, metric: Metric, *labels: str) -> object:
        """Return the value of a series, or None if it does not exist."""
        for family in self.application.families():
            if family.metric.name == metric.name:
                return {series.labels: value for series, value in zip(family.series, family.values, strict=True)}.get(
                    labels
                )
        return None


def after(actions: Sequence[tuple[str, int, int]], *flags: str) -> Process:
    """Return a process after these actions."""
    process = Process(FakeClock(), *flags)
    for action in actions:
        process.act(*action)
    process.application.lasting.finish()
    process.application.families()  # this runs a tick
    return process


def differences(first: bytes, second: bytes) -> list[tuple[bytes, bytes]]:
    """Return the lines that differ, so that a failure shows these only."""
    pairs = zip_longest(first.splitlines(), second.splitlines(), fillvalue=b"")
    return [pair for pair in pairs if pair[0] != pair[1]]


@pytest.mark.parametrize("flags", VARIANTS, ids=str)
@given(ACTIONS)
@settings(max_examples=scaled(4, 25))
def test_a_clean_restart_changes_no_byte(flags: tuple[str, ...], actions: list[tuple[str, int, int]]) -> None:
    """After a clean restart counters, histograms and timestamps are the same bytes, whatever happened before."""
    process = after(actions, *flags)
    successor = process.successor(*flags)
    for syntax in Syntax:
        texts = [each.render(syntax) for each in (process, successor)]
        assert [] == differences(*texts)


@pytest.mark.parametrize("flags", VARIANTS, ids=str)
@given(ACTIONS)
@settings(max_examples=scaled(3, 15))
def test_after_any_other_end_counters_begin_at_0(flags: tuple[str, ...], actions: list[tuple[str, int, int]]) -> None:
    """After a crash timestamps are restored from the file, and every counter and histogram is 0."""
    process = after(actions, *flags)
    successor = process.successor(*flags, counters=False)
    texts = [each.render(Syntax.TEXT, counters=False) for each in (process, successor)]
    assert [] == differences(*texts)
    counted = [
        value if isinstance(value, int | float) else sum(value.counts)  # type: ignore[union-attr]
        for family in successor.lasting()
        if family.metric.kind is not Kind.GAUGE
        for value in family.values
    ]
    assert {0} >= set(counted)


NUMBERS = st.one_of(st.integers(-3, 2**62), st.floats())
TIMES = st.floats()
LABELS = st.lists(st.sampled_from(["t", "q", "success", "w1@host", "__overflow__", ""]), max_size=4).map(tuple)
METRICS = st.sampled_from([*CATALOG, "unknown"])
AGES = st.none() | TIMES
LEDGERS = st.builds(
    SavedLedger, st.integers(), TIMES, st.integers(), st.integers(), st.integers(), st.none() | st.integers(),
    st.integers(), st.integers(), st.booleans(),
)  # fmt: skip
PARTS = st.builds(SavedParts, st.integers(), st.dictionaries(st.floats(), st.integers(), max_size=3))
WRITTEN = st.builds(
    SavedState, TIMES, st.just("b"), st.just("n"),
    st.lists(st.builds(SavedPair, st.sampled_from(["t", ""]), st.sampled_from(["q", ""]), TIMES, LABELS), max_size=3),
    st.lists(st.builds(SavedQueue, st.sampled_from(["q", ""]), TIMES, st.booleans()), max_size=2),
    st.lists(
        st.builds(
            SavedWorker, st.sampled_from(["w1@host", ""]), st.sampled_from(["online", "lost", "offline", "gone"]),
            TIMES, st.integers(), TIMES, st.integers(), st.integers(), st.integers(), st.none() | LEDGERS, st.text(),
        ),
        max_size=2,
    ),
    st.lists(st.builds(SavedPast, METRICS, LABELS, NUMBERS), max_size=2),
    st.lists(st.lists(st.floats(), max_size=3).map(tuple), max_size=2),
    st.dictionaries(METRICS, st.lists(st.builds(SavedSeries, LABELS, NUMBERS, AGES, AGES), max_size=3), max_size=9),
    st.dictionaries(
        METRICS,
        st.lists(
            st.builds(
                SavedHistogram, LABELS, st.integers(), st.lists(st.integers(), max_size=22), TIMES, AGES, AGES,
                st.none() | PARTS,
            ),
            max_size=2,
        ),
        max_size=4,
    ),
)  # fmt: skip
"""States that no exporter writes, with fields of the correct types."""


@given(WRITTEN, st.booleans())
@settings(max_examples=scaled(15, 60))
def test_strange_content_breaks_nothing(state: SavedState, counters: bool) -> None:  # noqa: FBT001 -- an example
    """A file with a valid checksum is refused, or only its invalid parts are dropped, whatever it contains."""
    try:
        decoded = decode_state(encode_state(state, clean=True)).state
    except DecodeError:
        return
    process = Process(FakeClock(), "--series.zero-first=0")
    process.application.lasting.restore(decoded, counters=counters)
    process.execute("t", "q", "w1@host")
    process.worker("beat", "w1@host", 3)
    process.application.events.opened()
    process.application.events.tick()
    assert b"celery_tasks_started_total{" in process.render(Syntax.OPENMETRICS)
    process.file()


def test_counting_goes_on_where_it_stood() -> None:
    """Executions after a clean restart are added to the series from before it."""
    process = Process(FakeClock(), "--series.zero-first=0")
    for kind in ("run", "fail", "retry"):
        process.execute("t", "q", "w1@host", kind)
    successor = process.successor("--series.zero-first=0")
    for kind in ("run", "fail", "retry"):
        successor.execute("t", "q", "w1@host", kind)
    assert 6 == successor.value(rows.TASKS_STARTED, "t", "q")
    assert [2, 2, 2] == [successor.value(rows.TASKS, "t", "q", state) for state in ("success", "failure", "retry")]
    assert 1 == successor.value(rows.TASK_CONSECUTIVE_FAILURES, "t")


def test_consecutive_failures_end_with_a_success_after_a_restart() -> None:
    """A success after a restart resets the consecutive failures from before it to 0."""
    process = Process(FakeClock())
    process.execute("t", "q", "w1@host", "fail")
    successor = process.successor(counters=False)
    assert 1 == successor.value(rows.TASK_CONSECUTIVE_FAILURES, "t")
    successor.execute("t", "q", "w1@host")
    assert 0 == successor.value(rows.TASK_CONSECUTIVE_FAILURES, "t")


def test_series_that_prometheus_has_not_seen_stay_0_for_the_rest_of_their_time() -> None:
    """A counter that was shown as 0 for 10 of 30 seconds is shown as 0 for 20 more seconds after a restart."""
    process = Process(FakeClock())
    process.execute("t", "q", "w1@host")
    process.clock.advance(10)
    successor = process.successor()
    assert 0 == successor.value(rows.TASKS_STARTED, "t", "q")
    process.clock.advance(21)
    assert 1 == successor.value(rows.TASKS_STARTED, "t", "q")


def test_idle_tasks_expire_when_they_would_have_without_a_restart() -> None:
    """A restart does not prolong the time to live of series without events."""
    process = Process(FakeClock(), "--series.ttl=1h")
    process.execute("t", "q", "w1@host")
    process.application.tasks.sweep(process.clock.monotonic())
    process.clock.advance(1800)
    successor = process.successor("--series.ttl=1h")
    successor.application.tasks.sweep(process.clock.monotonic())
    assert 1 == successor.value(rows.TASKS_STARTED, "t", "q")
    process.clock.advance(1799)
    successor.application.tasks.sweep(process.clock.monotonic())
    assert 1 == successor.value(rows.TASKS_STARTED, "t", "q")
    process.clock.advance(2)
    successor.application.tasks.sweep(process.clock.monotonic())
    assert successor.value(rows.TASKS_STARTED, "t", "q") is None


def test_tasks_that_run_rarely_wait_for_their_schedule_after_a_restart() -> None:
    """After a restart a task that exceeds its time to live is kept until schedules had time to be reported."""
    process = Process(FakeClock(), "--series.ttl=1h")
    process.execute("t", "q", "w1@host")
    process.application.tasks.sweep(process.clock.monotonic())
    process.clock.advance(3500)
    successor = process.successor("--series.ttl=1h")
    process.clock.advance(590)
    successor.application.tasks.sweep(process.clock.monotonic())
    assert 1 == successor.value(rows.TASKS_STARTED, "t", "q")
    process.clock.advance(11)
    successor.application.tasks.sweep(process.clock.monotonic())
    assert successor.value(rows.TASKS_STARTED, "t", "q") is None


def test_known_queues_stay_known() -> None:
    """A queue that only events or a search named is known after a restart, however the previous process ended."""
    process = Process(FakeClock())
    process.application.queues.add(["found"], certain=True)
    process.execute("t", "named", "w1@host")
    process.application.queues.names()
    assert {"found", "named"} <= set(process.successor(counters=False).application.queues.known())


def test_histograms_with_other_bounds_begin_at_0() -> None:
    """A histogram whose bounds were changed in the settings begins at 0; counters continue."""
    process = Process(FakeClock(), "--series.zero-first=0")
    process.execute("t", "q", "w1@host")
    flag = '--buckets={"celery_task_wait_seconds": [7, 8]}'
    successor = process.successor(flag, "--series.zero-first=0")
    assert 1 == successor.value(rows.TASKS_STARTED, "t", "q")
    assert (0, 0, 0) == tuple(successor.value(rows.TASK_WAIT, "t", "q").counts)  # type: ignore[attr-defined]
    assert 1 == sum(successor.value(rows.TASK_RUNTIME, "t", "q", "success").counts)  # type: ignore[attr-defined]


def test_native_histograms_go_on() -> None:
    """Native buckets are saved, and restored after a clean restart."""
    process = Process(FakeClock(), NATIVE_FLAG, "--series.zero-first=0")
    process.execute("t", "q", "w1@host")
    successor = process.successor(NATIVE_FLAG, "--series.zero-first=0")
    before, after_it = (each.value(rows.TASK_RUNTIME, "t", "q", "success") for each in (process, successor))
    assert isinstance(after_it, Distribution)
    assert before == after_it
    assert after_it.native is not None
    assert 1 == sum(after_it.native.parts.values())


@pytest.mark.parametrize("native_before", [True, False])
def test_native_histograms_switched_between_files(native_before: bool) -> None:  # noqa: FBT001 -- a table
    """A process without native buckets restores the classic ones; one that enables native buckets begins at 0."""
    flags = ("--series.zero-first=0",), (NATIVE_FLAG, "--series.zero-first=0")
    process = Process(FakeClock(), *flags[native_before])
    process.execute("t", "q", "w1@host")
    successor = process.successor(*flags[not native_before])
    value = successor.value(rows.TASK_RUNTIME, "t", "q", "success")
    assert isinstance(value, Distribution)
    assert native_before == sum(value.counts)
    assert (None if native_before else {}) == (value.native and value.native.parts)
    assert 1 == successor.value(rows.TASKS_STARTED, "t", "q")


def test_bounds_hold_for_what_is_restored() -> None:
    """With a lower limit than before fewer series are restored, and none moves to the overflow series."""
    process = Process(FakeClock(), "--series.zero-first=0")
    for number in range(8):
        process.execute(f"t{number}", "q", "w1@host")
    successor = process.successor("--series.max-per-metric=20", "--series.zero-first=0")
    assert 1 == successor.value(rows.TASKS_STARTED, "t0", "q")
    assert successor.value(rows.TASKS_STARTED, "t7", "q") is None
    assert successor.value(rows.TASKS_STARTED, "__overflow__", "__overflow__") is None


def test_dropped_series_are_counted_on() -> None:
    """Series that are dropped after a restart add to the count of those dropped before it."""
    flags = ("--series.max-per-metric=10", "--series.zero-first=0")
    process = Process(FakeClock(), *flags)
    for number in range(5):
        process.execute(f"t{number}", "q", "w1@host")
    process.application.families()
    before = process.value(internals.SERIES_DROPPED, "celery_tasks_total")
    successor = process.successor(*flags)
    assert before == successor.value(internals.SERIES_DROPPED, "celery_tasks_total")
    successor.execute("t9", "q", "w1@host")
    assert isinstance(before, int | float)
    assert before + 1 == successor.value(internals.SERIES_DROPPED, "celery_tasks_total")


class TestWorkers:
    """Workers across a restart; heartbeats arrive every 2 seconds."""

    def beaten(self, processed: int = 10, *, executed: int = 0) -> Process:
        """Return a process that received heartbeats of a worker and some of its executions."""
        process = Process(FakeClock(), "--series.zero-first=0")
        process.worker("online", "w1@host", processed - executed)
        for _ in range(executed):
            process.clock.advance(0.5)
            process.execute("t", "q", "w1@host")
        process.clock.advance(2)
        process.worker("beat", "w1@host", processed)
        return process

    def restarted(self, process: Process, away: float = 60, **options: bool) -> Process:
        """Return the next process, which receives events again after ``away`` seconds."""
        process.clock.advance(away)
        successor = process.successor("--series.zero-first=0", **options)
        now = process.clock.monotonic()
        successor.application.events.resume("test", now - away, counted_from=now - away)
        successor.application.events.opened()
        successor.application.events.tick()
        return successor

    def beats(self, process: Process, *counts: int, pid: int = 1) -> None:
        """Receive heartbeats."""
        for processed in counts:
            process.clock.advance(2)
            process.worker("beat", "w1@host", processed, pid)
            process.application.events.tick()

    @pytest.mark.parametrize("counters", [True, False])
    def test_executions_meanwhile_are_missed(self, counters: bool) -> None:  # noqa: FBT001 -- a parameter of the test
        """Executions of the same worker process during the restart count as missed, exactly and once."""
        successor = self.restarted(self.beaten(10, executed=4), counters=counters)
        self.beats(successor, 17, 17, 17, 17)
        assert 7 == successor.value(worker_rows.WORKER_EVENTS_MISSED, "w1@host")

    def test_starts_before_the_stop_and_after_the_last_heartbeat_are_not_missed(self) -> None:
        """An execution between the last heartbeat and the exporter's stop does not count as missed."""
        process = self.beaten(10, executed=4)
        process.clock.advance(1)
        process.execute("t", "q", "w1@host")
        successor = self.restarted(process)
        self.beats(successor, 11, 11, 11, 11)
        assert 0 == successor.value(worker_rows.WORKER_EVENTS_MISSED, "w1@host")

    def test_another_process_makes_the_gap_unknown(self) -> None:
        """A worker that restarted meanwhile has no missed events, because its count began again."""
        successor = self.restarted(self.beaten(10, executed=4))
        self.beats(successor, 17, 17, 17, 17, pid=2)
        assert 0 == successor.value(worker_rows.WORKER_EVENTS_MISSED, "w1@host")
        assert 17 == successor.value(worker_rows.WORKER_PROCESSED, "w1@host")

    def test_a_worker_without_a_sign_of_life_is_not_lost(self) -> None:
        """A worker without a sign of life after a restart is absent, not down, as it may have stopped cleanly."""
        successor = self.restarted(self.beaten(), away=7200)
        assert 1 == successor.value(worker_rows.WORKER_UP, "w1@host")
        successor.clock.advance(31)
        successor.application.events.tick()
        assert successor.value(worker_rows.WORKER_UP, "w1@host") is None
        self.beats(successor, 10)
        assert successor.value(worker_rows.WORKER_UP, "w1@host") is None

    def test_a_worker_that_falls_silent_after_a_sign_of_life_is_lost(self) -> None:
        """A worker that goes silent after a sign of life since the restart is down."""
        successor = self.restarted(self.beaten())
        self.beats(successor, 10)
        successor.clock.advance(31)
        successor.application.events.tick()
        assert 0 == successor.value(worker_rows.WORKER_UP, "w1@host")

    def test_a_lost_worker_stays_lost(self) -> None:
        """A worker that was down before a restart is down after it, for the rest of its retention."""
        process = self.beaten()
        process.application.events.opened()
        process.clock.advance(31)
        process.application.events.tick()
        successor = self.restarted(process, away=1800)
        assert 0 == successor.value(worker_rows.WORKER_UP, "w1@host")
        successor.clock.advance(1801)
        successor.application.events.tick()
        assert successor.value(worker_rows.WORKER_UP, "w1@host") is None

    def test_a_worker_without_task_events_misses_none(self) -> None:
        """A worker that sends no task events has no missed events after a restart either."""
        process = self.beaten(10)
        self.beats(process, 20, 30, 40)
        assert 0 == process.value(worker_rows.WORKER_TASK_EVENTS, "w1@host")
        successor = self.restarted(process)
        self.beats(successor, 50, 60, 70, 80)
        assert 0 == successor.value(worker_rows.WORKER_EVENTS_MISSED, "w1@host")
        assert 0 == successor.value(worker_rows.WORKER_TASK_EVENTS, "w1@host")

    def test_processes_that_share_a_name_are_not_restored_as_one(self) -> None:
        """Processes that share a name are distinguished again after a restart, and have no missed events."""
        process = self.beaten(10)
        for pid in (2, 1, 2, 1, 2, 1):
            self.beats(process, 10, pid=pid)
        successor = self.restarted(process)
        for pid in (2, 1, 2, 1, 2, 1):
            self.beats(successor, 90, pid=pid)
        assert 0 == successor.value(worker_rows.WORKER_EVENTS_MISSED, "w1@host")

    def test_the_time_without_a_process_is_a_gap(self) -> None:
        """The time from a clean stop to the next subscription counts as a gap of the event stream."""
        assert 60 == self.restarted(self.beaten(), away=60).value(internals.STREAM_GAP)
