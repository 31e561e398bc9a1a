# SPDX-License-Identifier: Apache-2.0
"""Sample what fills a Redis server's databases, by groups of keys, little by little in the background.

Input: the sweeps of a server's databases. Output: samples. A cycle reads INFO and continues each sweep for a part of
the budget. It does nothing while the server should be left alone:
- the server is loading its data;
- a child process is writing the data (reading copies no pages, but takes time from the child);
- its memory is full and nothing may be evicted;
- it answers slowly.

The outcome of each cycle is counted. A scrape shows the last results and never waits. A failure costs only the metrics
of this collector.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog import key_space as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.collectors.key_sweep import SLOW_SECONDS, KeyBudget, KeyNames, KeySweep
from celery_redis_exporter.decode.redis_fields import read_keys, read_whole
from celery_redis_exporter.decode.redis_server import parse_info
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.sources.key_space import KeySpaceReader
from celery_redis_exporter.state.key_groups import KeyGroups
from celery_redis_exporter.state.key_tallies import Estimate, bound, fold_rest
from celery_redis_exporter.state.series import Store

OUTCOMES = ("complete", "keys", "busy", "wall", "loading", "forking", "memory", "slow", "error")
FIRST_PAUSE = 1.0
"""Seconds until the first cycle. Queues are found meanwhile."""
RETRY_SECONDS = 10.0
"""Seconds between attempts while a server fails."""
KEPT_INTERVALS, KEPT_SECONDS = 10, 600.0
"""How long results are shown while no cycle succeeds: this many intervals, but at least this many seconds."""
FULL = 0.95
"""The share of maxmemory above which the memory is full."""
TRACKED = 4
"""Groups that are counted for each group that is shown, since the largest groups are known only later."""


@dataclass(frozen=True, slots=True)
class KeySamplingOptions:
    """Seconds between cycles, the budget of a cycle, and the maximum number of groups shown for each database.

    ``databases`` maps each database to a function that returns the names of its keys.
    """

    databases: Mapping[int, Callable[[], KeyNames]]
    interval: float
    budget: KeyBudget
    max_groups: int


class KeySpace:
    """Sample the databases of the server called ``name``."""

    def __init__(
        self, name: str, reader: KeySpaceReader, options: KeySamplingOptions, store: Store, clock: Clock
    ) -> None:
        self.name = name
        self._reader = reader
        self._options = options
        self._store = store
        self._clock = clock
        self._metrics = CollectorMetrics(store, clock, f"key_space_{name}")
        self._sweeps: dict[int, KeySweep] = {}
        self._run_id = ""
        self._due: float | None = None
        self._outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
        self._before = (0, 0.0)
        self._swept: dict[int, float] = {}
        self._shown: dict[int, list[Sample]] = {}
        self._own: list[Sample] = []
        self._worked = float("-inf")

    def run(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Run a cycle every ``interval`` seconds until ``stop`` is set. Raises SourceError."""
        interval = self._options.interval
        if self._due is None:
            self._due = self._clock.monotonic() + min(FIRST_PAUSE, interval)
        while not stop.wait(max(self._due - self._clock.monotonic(), 0.0)):
            started = self._clock.monotonic()
            self._due = started + min(interval, RETRY_SECONDS)
            self.cycle(stop)
            works()
            self._due = started + interval

    def cycle(self, stop: threading.Event) -> str:
        """Continue the sweep of each database. Return the outcome of the last one (one of OUTCOMES).

        Raises SourceError.
        """
        started = self._clock.monotonic()
        try:
            outcome = self._go_on(stop)
        except SourceError as error:
            outcome = "loading" if error.reason == "loading" else "error"
            self._outcomes[outcome] += 1
            self._count(started)
            if outcome == "loading":
                return outcome
            with self._store.lock:
                self._metrics.failed(started)
            raise
        self._worked = self._clock.monotonic()
        self._count(started)
        with self._store.lock:
            self._metrics.succeeded(started)
        return outcome

    def samples(self) -> Sequence[Sample]:
        """Return the last results. Thread-safe."""
        kept = max(KEPT_INTERVALS * self._options.interval, KEPT_SECONDS)
        if self._clock.monotonic() - self._worked > kept:
            return self._own
        return [*self._own, *(sample for samples in tuple(self._shown.values()) for sample in samples)]

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._reader.close()

    def _go_on(self, stop: threading.Event) -> str:
        info, delay = self._reader.look()
        fields = parse_info(info)
        # Another process hashes key names in another way, so that the sweeps can't continue.
        if fields.get("run_id", "") != self._run_id:
            self._run_id = fields.get("run_id", "")
            self._leave()
        outcome = pause(fields, delay)
        if outcome:
            self._outcomes[outcome] += 1
            return outcome
        budget = _share(self._options)
        for db, names in self._options.databases.items():
            sweep = self._sweep(db, names())
            outcome = sweep.go_on(self._reader, read_keys(fields.get(f"db{db}", "")) or 0, budget, self._clock, stop)
            self._outcomes[outcome] += 1
            if outcome == "complete":
                self._swept[db] = self._clock.now()
            self._show(read_whole(fields.get("used_memory", "")) or math.inf)
        return outcome

    def _sweep(self, db: int, names: KeyNames) -> KeySweep:
        sweep = self._sweeps.get(db)
        if sweep is None:
            groups = KeyGroups(self._options.max_groups * TRACKED)
            sweep = self._sweeps[db] = KeySweep(db, names, groups)
        sweep.call(names)
        return sweep

    def _leave(self) -> None:
        """Forget the sweeps, but keep the sums of their costs."""
        self._before = self._spent()
        self._sweeps = {}
        self._swept = {}
        self._shown = {}

    def _spent(self) -> tuple[int, float]:
        scanned, busy = self._before
        sweeps = self._sweeps.values()
        return scanned + sum(sweep.scanned for sweep in sweeps), busy + sum(sweep.busy for sweep in sweeps)

    def _count(self, started: float) -> None:
        name, (scanned, busy) = (self.name,), self._spent()
        self._own = [
            Sample(rows.SCRAPE_DURATION, name, (self._clock.monotonic() - started) * 1000),
            Sample(rows.KEYS_SCANNED, name, scanned),
            Sample(rows.BUSY, name, busy),
            *(Sample(rows.CYCLES, (self.name, outcome), self._outcomes[outcome]) for outcome in OUTCOMES),
        ]

    def _show(self, used: float) -> None:
        """Update the samples of all databases.

        The estimates of all together are at most ``used``, the server's bytes.
        """
        shown = self._options.max_groups
        found = {db: fold_rest(sweep.groups.estimates(sweep.total), shown) for db, sweep in self._sweeps.items()}
        bounded = iter(bound(list(chain.from_iterable(found.values())), used))
        for db, estimates in found.items():
            self._shown[db] = self._describe(self._sweeps[db], list(islice(bounded, len(estimates))))

    def _describe(self, sweep: KeySweep, estimates: Iterable[Estimate]) -> list[Sample]:
        where = (self.name, f"db{sweep.db}")
        groups = sweep.groups
        samples = [
            Sample(rows.DISTINCT_GROUPS, where, groups.distinct),
            Sample(rows.COVERAGE, where, groups.coverage(sweep.total)),
        ]
        if sweep.db in self._swept:
            samples.append(Sample(rows.LAST_SWEEP, where, self._swept[sweep.db]))
        for estimate in estimates:
            samples += _samples(estimate, (*where, estimate.group))
        return samples


def pause(fields: Mapping[str, str], delay: float) -> str:
    """Return why the server should be left alone at this moment, or an empty string.

    ``fields`` are those of INFO. ``delay`` is the time in seconds that PING took beyond the shortest round trip.
    """
    if fields.get("loading", "0") != "0":
        return "loading"
    forks = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "module_fork_in_progress")
    if any(fields.get(fork, "0") != "0" for fork in forks):
        return "forking"
    limit, used = (read_whole(fields.get(name, "")) or 0 for name in ("maxmemory", "used_memory"))
    # A cache that evicts is always full.
    if limit and used > FULL * limit and fields.get("maxmemory_policy", "noeviction") == "noeviction":
        return "memory"
    return "slow" if delay > SLOW_SECONDS else ""


def _share(options: KeySamplingOptions) -> KeyBudget:
    whole, databases = options.budget, len(options.databases)
    names, measured = (max(number // databases, 1) for number in (whole.names, whole.measured))
    wall = min(whole.wall, options.interval) if options.interval else whole.wall
    return replace(whole, names=names, measured=measured, busy=whole.busy / databases, wall=wall / databases)


def _samples(estimate: Estimate, where: tuple[str, str, str]) -> list[Sample]:
    found: list[tuple[Metric, tuple[str, ...], float | None]] = [
        (rows.GROUP_COUNT, where, round(estimate.keys)),
        (rows.GROUP_MEMORY, where, None if estimate.memory is None else round(estimate.memory)),
        (rows.GROUP_ERROR, (*where, "count"), estimate.keys_error),
        (rows.GROUP_ERROR, (*where, "memory"), estimate.memory_error),
        (rows.GROUP_WITHOUT_TTL, where, estimate.without_ttl),
    ]
    return [Sample(metric, labels, value) for metric, labels, value in found if value is not None]
