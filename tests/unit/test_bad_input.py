# SPDX-License-Identifier: Apache-2.0
"""Any input is decoded to a record or a counted reason; the invariants are those of the fuzzer, see tests/fuzz."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.collectors.events import EventCollector
from celery_redis_exporter.decode.event_stream import decode_event_message, decode_message
from celery_redis_exporter.decode.schedules import decode_redbeat_definition
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.events import Broken, EventMessage, TaskStarted, WorkerHeartbeat
from celery_redis_exporter.state.holding import Held, Holding
from celery_redis_exporter.state.task import MOST_AT_ONCE
from tests.fuzz.invariants import INVARIANTS
from tests.fuzz.labels import check_values
from tests.fuzz.seeds import FOUND, seeds_of
from tests.support.lab import W1, Lab
from tests.support.sizes import scaled

pytestmark = pytest.mark.usefixtures("limited_memory")

INPUTS = sorted(path for path in FOUND.rglob("*") if path.is_file())
DEAR = {"fold": 15, "state_file": 25, "labels": 25, "environment": 5, "flags": 5, "settings_file": 15, "web_config": 15}
"""Numbers of examples for targets that take longer than the others."""


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_found_inputs_stay_harmless(path: Path) -> None:
    """Inputs that once broke an invariant, found by a fuzzer or by hand, break none."""
    INVARIANTS[path.parent.name](path.read_bytes())


def changed(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy of any bytes, or of a seed in which a part is replaced by any bytes."""

    def replace(seed: bytes, start: int, length: int, patch: bytes) -> bytes:
        start %= len(seed) + 1
        return seed[:start] + patch + seed[start + length :]

    small = [seed for seed in seeds if len(seed) <= 4096] or [b""]
    patched = st.builds(replace, st.sampled_from(small), st.integers(0, 4096), st.integers(0, 9), st.binary(max_size=9))
    return st.one_of(st.binary(max_size=100), patched)


@pytest.mark.parametrize("target", INVARIANTS)
def test_any_bytes_break_nothing(target: str) -> None:
    """Neither arbitrary bytes nor changed messages of real programs break an invariant."""

    @settings(derandomize=True, database=None, deadline=None, max_examples=DEAR.get(target, 40))
    @given(changed(seeds_of(target)))
    def check(data: bytes) -> None:
        INVARIANTS[target](data)

    check()


@settings(derandomize=True, database=None, deadline=None, max_examples=30)
@given(st.text(max_size=20), st.text(alphabet='\\"\n\r\0{}=,# a\ud800\udfff\u2028', max_size=12))
def test_any_name_can_be_read_back(task: str, queue: str) -> None:
    """Quotes, line breaks, control characters and half surrogates in labels can be parsed in both formats."""
    check_values(task, queue)


def pipeline_of(lab: Lab) -> EventCollector:
    """Return a pipeline into a lab for bodies without an envelope."""
    return lab.collector(decode_event_message)


def message(*events: dict[str, object]) -> EventMessage:
    """Return one message with these events."""
    return EventMessage(msgspec.json.encode(events), "application/json")


def started(**changes: object) -> dict[str, object]:
    """Return a task-started event."""
    return {"type": "task-started", "uuid": "u", "timestamp": 1.8e9, "hostname": W1} | changes


def failed(text: str) -> dict[str, object]:
    """Return a task-failed event with a traceback."""
    return {**started(), "type": "task-failed", "exception": f"KeyError({text!r})", "traceback": text}


def test_a_huge_batch_is_folded_whole() -> None:
    """A message of many thousands of events is folded completely; of one id, running executions are bounded."""
    lab, events = Lab(), scaled(10_000, 100_000)
    lab.sent("u", 0)
    pipeline_of(lab).fold([message(*[started()] * events)])
    assert events == lab.value(rows.TASKS_STARTED, "t", "q")
    assert MOST_AT_ONCE == lab.value(rows.TASKS_RUNNING, "t", "q")
    assert events - MOST_AT_ONCE == lab.value(internals.TASKS_EVICTED, "count")


def test_what_is_taken_off_was_running() -> None:
    """The number of running tasks falls to 0 and never below, even after more executions of one id than the limit."""
    lab = Lab()
    lab.sent("u", 0)
    for at in range(MOST_AT_ONCE + 3):
        lab.started("u", at, f"w{at}")
    for at in range(MOST_AT_ONCE + 3):
        lab.succeeded("u", at + 100, 1.0, f"w{at}")
    assert 0 == lab.value(rows.TASKS_RUNNING, "t", "q")


def test_waiting_events_are_bounded() -> None:
    """The total number of deferred events is bounded, however few tasks they belong to."""
    lab = Lab()
    holding = Holding(lab.tasks.names, limit=5)
    event = Held("task-received", lambda: None)
    assert holding.hold("u", "w", event, 0.0)
    assert [True] * 4 + [False] * 3 == [holding.append("u", "w", event) for _ in range(7)]
    assert 5 == len(holding.release("u"))
    assert holding.hold("u", "w", event, 0.0)
    assert 1 == len(holding.give_up(60.0))
    assert 0 == holding.events


def test_what_waits_holds_no_message() -> None:
    """A deferred failure keeps neither its traceback nor its message in memory."""
    lab = Lab()
    lab.tasks._holding.sent_seen = True
    pipeline = pipeline_of(lab)
    pipeline.fold([message(failed("warm"))])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5):
            pipeline.fold([message({**failed("x" * 1_000_000), "uuid": f"u{number}"})])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 6 == lab.tasks._holding.events
    assert after - before < 500_000


def test_a_large_message_costs_its_size() -> None:
    """Decoding a message of 50 MB takes little further memory, because arguments and results are skipped."""
    large = msgspec.json.encode([{**started(), "type": "task-received", "name": "n", "args": "x" * 50_000_000}])
    tracemalloc.start()
    try:
        parts = decode_event_message(EventMessage(large, "application/json"))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1 == len(parts)
    assert peak < 1_000_000
    assert kept < 100_000


@pytest.mark.parametrize("event", [
    started(uuid="u" * 1_000_000), started(timestamp=-62_135_596_800.0), started(timestamp=253_402_300_800.0),
], ids=",".join)  # fmt: skip
def test_what_is_too_much_is_refused(event: dict[str, object]) -> None:
    """An event with an id of 1 MB or a year out of range is refused, and other events of its message are kept."""
    refused, kept = decode_event_message(message(event, started()))
    assert Broken("schema") == refused
    assert isinstance(kept, TaskStarted)


def test_the_last_second_of_9999_is_a_time() -> None:
    """An event with the latest time that a date can represent is folded."""
    lab = Lab()
    beat = {"type": "worker-heartbeat", "hostname": W1, "timestamp": 253_402_300_799.0, "processed": 1}
    pipeline_of(lab).fold([message(beat, started(timestamp=253_402_300_799.0))])
    assert 1 == lab.value(internals.EVENTS, "worker-heartbeat")


def test_a_heartbeat_without_surplus_looks_at_no_run() -> None:
    """A heartbeat that reports at least as many active tasks as run does not iterate over the runs."""

    class Counted(dict[object, str]):
        looks = 0

        def __iter__(self) -> Iterator[object]:
            self.looks += 1
            return super().__iter__()

    lab = Lab()
    lab.beat(processed=0, active=100)
    worker = lab.workers.by_name[W1]
    counted = Counted({object(): str(number) for number in range(100)})
    worker.runs = counted  # type: ignore[assignment]  # a dict that counts iterations
    lab.workers.fold_heartbeat(WorkerHeartbeat(W1, lab.clock.epoch + 1, 1, 2.0, 100, 0))
    assert 0 == counted.looks


@pytest.mark.parametrize("decode", [decode_message, decode_redbeat_definition])
def test_deep_json_is_refused(decode: Callable[[bytes], object]) -> None:
    """JSON that is nested a million times is refused in every part of a message."""
    deep = "[" * 1_000_000
    for text in (deep, json.dumps({"body": deep}), f'{{"body": "", "more": {deep}', f'{{"task": {deep}'):
        with pytest.raises(DecodeError):
            decode(text.encode())


def test_an_endless_crontab_is_refused() -> None:
    """A crontab field with more entries than possible values is refused before it is parsed."""
    schedule = {"__type__": "crontab", "minute": ",".join(["*"] * 500_000)}
    with pytest.raises(DecodeError):
        decode_redbeat_definition(msgspec.json.encode({"task": "t", "schedule": schedule}))
