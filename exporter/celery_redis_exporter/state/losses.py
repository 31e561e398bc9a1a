# SPDX-License-Identifier: Apache-2.0
"""What an interruption of the subscription cost: how many executions were missed, by the workers' own counts.

Input: the workers at the moment when events arrive again, and each second. Output: one ``Loss``, once every worker that
was online has sent the heartbeats after which its account (``state.ledger``) is settled, or will not send them. Where
executions can't be counted the reason is stated. Published tasks are counted by no one. Not thread-safe: see state.
"""

from dataclasses import dataclass
from typing import NamedTuple

from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.state.ledger import StartsLedger
from celery_redis_exporter.state.task import Worker
from celery_redis_exporter.state.worker import ONLINE
from celery_redis_exporter.state.workers import Workers

SETTLING_BEATS = 3
"""Heartbeats after which what was missed is counted: it is compared from the first to the second, and again."""
PATIENCE = 60.0
"""Seconds after which a worker that sent fewer is not waited for."""
NOT_SEEN, RESTARTED, STOPPED = "no sign of life since", "another process since", "stopped"
UNCOUNTED = "too few heartbeats with a count"


class Loss(NamedTuple):
    """Executions whose events were missed, of the ``counted`` workers; ``unknown`` are the other workers, by reason."""

    cause: str
    missed: int
    counted: int
    unknown: dict[str, list[str]]


@dataclass(slots=True)
class _Account:
    """A worker whose loss is not settled: its ledger at the beginning, and what it had missed before."""

    worker: Worker
    ledger: StartsLedger
    beats: int
    missed: float


class Losses:
    """Watches ``workers`` after interruptions. One that begins while another is not settled is settled with it."""

    def __init__(self, workers: Workers, clock: Clock) -> None:
        self._workers = workers
        self._clock = clock
        self._cause = ""
        self._until = 0.0
        self._open: dict[str, _Account] = {}
        self._missed = 0.0
        self._counted = 0
        self._unknown: dict[str, list[str]] = {}

    def begin(self, cause: str) -> None:
        """Begin to watch the workers that are online; events arrive again after an interruption by ``cause``."""
        before, self._open = self._open, {}
        self._cause, self._until = cause, self._clock.monotonic() + PATIENCE
        if not before:
            self._missed, self._counted, self._unknown = 0.0, 0, {}
        for worker in self._workers.online():
            reason = _blindness(worker)
            if reason:
                self._unknown.setdefault(reason, []).append(worker.name)
            else:
                known = before.get(worker.name)
                missed = _missed(worker) if known is None else known.missed
                self._open[worker.name] = _Account(worker, worker.ledger, worker.ledger.beats, missed)

    def settle(self) -> Loss | None:
        """Return what the last interruption cost, once that is certain; then None until there is another."""
        if not self._cause:
            return None
        is_over = self._clock.monotonic() >= self._until
        for name, account in list(self._open.items()):
            if self._is_settled(account, is_over=is_over):
                del self._open[name]
        if self._open:
            return None
        loss = Loss(self._cause, int(self._missed), self._counted, self._unknown)
        self._cause = ""
        return loss

    def _is_settled(self, account: _Account, *, is_over: bool) -> bool:
        """Record what is known of a worker. Return False if further heartbeats have to be waited for."""
        reason = _verdict(account, is_over=is_over)
        if reason is None:
            return False
        self._missed += _missed(account.worker) - account.missed
        if reason:
            self._unknown.setdefault(reason, []).append(account.worker.name)
        else:
            self._counted += 1
        return True


def _verdict(account: _Account, *, is_over: bool) -> str | None:
    """Return why the loss of a worker is unknown, empty if it is known, or None if more heartbeats have to arrive."""
    worker = account.worker
    is_online = worker.presence is ONLINE
    if worker.is_awaited and (is_over or not is_online):
        return NOT_SEEN
    if worker.ledger is not account.ledger:
        return RESTARTED
    if not is_online:
        return STOPPED
    if account.ledger.beats >= account.beats + SETTLING_BEATS:
        return ""
    return UNCOUNTED if is_over else None


def _blindness(worker: Worker) -> str:
    """Return why executions of a worker can't be compared with its events; empty if they can."""
    if worker.blind:
        return worker.blind
    return "" if worker.ledger.processed is not None else UNCOUNTED


def _missed(worker: Worker) -> float:
    series = worker.series.get((rows.WORKER_EVENTS_MISSED, ()))
    return 0.0 if series is None else series.value
