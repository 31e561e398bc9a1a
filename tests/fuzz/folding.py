# SPDX-License-Identifier: Apache-2.0
"""Fold any sequence of events into a small state that reaches its limits soon.

Input: any bytes. They are turned into events, with one byte per choice, so that a fuzzer can change one thing at a
time. The events are encoded and decoded, so that no event is folded that could not be received. Never opens a socket.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from celery_redis_exporter.catalog import Kind
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.decode.event_stream import decode_event_message
from celery_redis_exporter.records.events import EVENT_CLASSES, EventMessage
from celery_redis_exporter.records.samples import Distribution, Family
from celery_redis_exporter.state.rules import Naming
from celery_redis_exporter.state.series import NewSeries
from tests.support.lab import EVENT_METRICS, Lab
from tests.support.options import task_limits, worker_limits

MOST_TRACKED = 12
BOUNDS: dict[str, Any] = {"tracked": MOST_TRACKED, "age": 100, "pairs": 6, "idle": 50, "exceptions": 3}
MOST_WORKERS, MOST_SERIES, MOST_HELD, MOST_STEPS = 3, 40, 10_000, 100
OWN_COUNTS = frozenset({worker_rows.WORKER_PROCESSED})
"""Counters that a worker keeps itself, and resets when it restarts."""
TIMES = (0.0, 1e-9, 1.8e9, 1.8e9 + 1, 1.8e9 - 7, 253_402_300_799.0, 2e9, math.nan, math.inf, -62_135_596_800.0)
TEXTS = ("a", "b", "c", "d", "", "\0", 'q"\\\n', "\x7f", "é\u2028", "n" * 512, "n" * 513, "__overflow__")
COUNTS = (0, 1, 2, 3, 40, 2**53, 2**63, -1)
SPANS = (0.0, 0.5, 1.0, 3.0, 60.0, 1000.0, 1e10, math.nan, math.inf, -1.0)
REPRS = ("ValueError('x')", "Reject(1)", "reject requeue=False: no", "NotRegistered('a')", "K" * 5000, "", "é(", "A.B(")
ETAS = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2027-01-15T08:00:00", "soon", "")
TYPES = tuple(str(kind.__struct_config__.tag) for kind in EVENT_CLASSES)
CHOICES: dict[str, tuple[Any, ...]] = {
    "uuid": TEXTS, "hostname": TEXTS[:6], "name": TEXTS, "queue": (*TEXTS, None), "timestamp": TIMES, "eta": ETAS,
    "retries": COUNTS, "runtime": (*SPANS, None), "exception": REPRS, "traceback": REPRS, "pid": COUNTS,
    "freq": SPANS, "active": COUNTS, "processed": COUNTS, "loadavg": tuple((span, 0.0, span) for span in SPANS),
    "terminated": (True, False, None), "queues": ([], ["a"], ["a", "b"], list(TEXTS), None), "concurrency": COUNTS,
    "tasks": ({}, {"a": 1.0}, {"a": 60, "b": -1, "n" * 513: 2}, dict.fromkeys(TEXTS, 3.5), {"c": math.nan}, [], None),
}  # fmt: skip
ALWAYS = ("uuid", "hostname", "name", "timestamp", "pid")
OPTIONAL = tuple(field for field in CHOICES if field not in ALWAYS)


def check_fold(data: bytes) -> None:
    """Check that counters never fall, limits hold, and numbers are finite, for any events."""
    choices = iter(data)
    split = next(choices, 0) % 2 == 1
    lab = Lab(
        task_limits(**BOUNDS, naming=Naming(worker_label=split)),
        worker_limits(count=MOST_WORKERS, retention=20),
        MOST_SERIES,
        NewSeries(by_worker=rows.BY_WORKER if split else frozenset()),
    )
    lab.workers.seeding = 5.0
    collector = lab.collector(decode_event_message)
    before: dict[tuple[str, tuple[str, ...]], float] = {}
    for _ in range(MOST_STEPS):
        step = next(choices, None)
        if step is None:
            break
        if step >= 240:
            lab.clock.advance(SPANS[step % 6])
            collector.tick()
            if step % 16 == 15:
                lab.tasks.sweep(lab.clock.monotonic())
        else:
            body = msgspec.msgpack.encode(_event(TYPES[step % len(TYPES)], choices))
            collector.fold([EventMessage(body, "application/x-msgpack")])
        before = _check(lab, before)


def _event(kind: str, choices: Iterator[int]) -> dict[str, Any]:
    """Return an event; a field without its bit is left out, and gets its first value if there are no more bytes."""
    chosen = list(ALWAYS)
    mask = next(choices, 0) | next(choices, 0) << 8
    chosen += [field for place, field in enumerate(OPTIONAL) if mask >> place & 1]
    event = {field: CHOICES[field][next(choices, 0) % len(CHOICES[field])] for field in chosen}
    return {"type": kind} | event


def _check(lab: Lab, before: dict[tuple[str, tuple[str, ...]], float]) -> dict[tuple[str, tuple[str, ...]], float]:
    """Check all series; return the counters for the next check."""
    lab.tasks.refresh()
    assert len(lab.tasks.tracked) <= MOST_TRACKED
    assert len(lab.workers.by_name) <= MOST_WORKERS
    assert lab.tasks._holding.events <= MOST_HELD
    counters: dict[tuple[str, tuple[str, ...]], float] = {}
    for family in lab.store.collect():
        assert family.metric not in EVENT_METRICS or len(family.series) <= MOST_SERIES + 6, family.metric.name
        counters |= _counters(family)
    for key, value in counters.items():
        assert value >= before.get(key, 0.0), key
    return counters


def _counters(family: Family) -> dict[tuple[str, tuple[str, ...]], float]:
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    metric = family.metric
    for series, value in zip(family.series, family.values, strict=True):
        labels = series.labels
        if isinstance(value, Distribution):
            assert math.isfinite(value.total)
            assert min(value.counts) >= 0
            found[metric.name, labels] = sum(value.counts)
            found[f"{metric.name}_sum", labels] = value.total
        elif isinstance(value, int | float):
            assert math.isfinite(value), (metric.name, labels)
            assert value >= 0 or metric is worker_rows.WORKER_SKEW, (metric.name, labels, value)
            if metric.kind is Kind.COUNTER and metric not in OWN_COUNTS:
                found[metric.name, labels] = value
    return found
