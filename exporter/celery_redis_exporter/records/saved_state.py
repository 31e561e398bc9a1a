# SPDX-License-Identifier: Apache-2.0
"""What the state file contains: counts, time stamps and what is known of workers and queues, at one moment.

Data only. Names of tasks, queues, workers and exception classes are in it; no arguments, no results, no task ids, no
URLs. Times are epoch seconds, by the exporter's clock unless stated otherwise.
"""

from typing import Literal

from msgspec import Struct


class SavedSeries(Struct, array_like=True, frozen=True, gc=False):
    """A counter or a gauge.

    ``born`` is when a counter began at 0. ``age`` is the time in seconds for which it has been shown as 0 although it
    may be more, None if its value is shown.
    """

    labels: tuple[str, ...]
    value: int | float
    born: float | None = None
    age: float | None = None


class SavedParts(Struct, array_like=True, frozen=True, gc=False):
    """Native buckets: observations of each part by its upper bound, see ``records.resolution``."""

    schema: int
    counts: dict[float, int]


class SavedHistogram(Struct, array_like=True, frozen=True, gc=False):
    """A histogram: ``counts`` per bucket (not cumulative), and the place of its bounds in ``SavedState.bounds``.

    ``parts`` are its native buckets, if it has any. Versions that do not know this field, the last one, skip it.
    """

    labels: tuple[str, ...]
    bounds: int
    counts: list[int]
    total: float
    born: float | None = None
    age: float | None = None
    parts: SavedParts | None = None


class SavedLedger(Struct, array_like=True, frozen=True, gc=False):
    """The account of one worker process; fields as in ``state.ledger``, ``slack`` is a number of starts."""

    processed: int
    last_beat: float
    before: int
    after: int
    slack: int
    owed: int | None
    balance: int
    certain: int
    seen_any: bool


class SavedWorker(Struct, array_like=True, frozen=True, gc=False):
    """A worker; ``since`` is when its ``presence`` began, one of ``state.worker.Presence``.

    ``ledger`` is None where executions can't be compared with events. ``blind`` is the reason then.
    """

    name: str
    presence: Literal["online", "lost", "offline"]
    since: float
    pid: int
    interval: float
    failed: int
    retried: int
    offset: int
    ledger: SavedLedger | None
    blind: str


class SavedPair(Struct, array_like=True, frozen=True, gc=False):
    """A task on a queue, by the names shown; ``workers`` are those that its series are distinguished by."""

    task: str
    queue: str
    active_at: float
    workers: tuple[str, ...] = ()


class SavedQueue(Struct, array_like=True, frozen=True, gc=False):
    """A known queue, by its own name; ``certain`` where more than events named it."""

    name: str
    seen_at: float
    certain: bool


class SavedPast(Struct, array_like=True, frozen=True, gc=False):
    """What earlier workers of a shown name counted, see ``state.merging``."""

    metric: str
    labels: tuple[str, ...]
    value: int | float


class SavedState(Struct, frozen=True):
    """The whole content. ``broker`` and ``naming`` are hashes of the settings that it belongs to."""

    saved_at: float
    broker: str
    naming: str
    pairs: list[SavedPair]
    queues: list[SavedQueue]
    workers: list[SavedWorker]
    past: list[SavedPast]
    bounds: list[tuple[float, ...]]
    scalars: dict[str, list[SavedSeries]]
    histograms: dict[str, list[SavedHistogram]]
