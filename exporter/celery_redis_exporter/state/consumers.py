# SPDX-License-Identifier: Apache-2.0
"""Count the consumers of each queue, from what workers report about themselves.

Input: the workers' setups. Output: the number of consumers and their concurrency, per queue. A queue is shown without
consumers only if that is certain: every online worker has reported its queues, and there was time enough to receive an
event of each. Not thread-safe: see state.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.state.queues import CONSUMERS, Queues
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.task import Worker
from celery_redis_exporter.state.workers import Workers


class Consumers:
    """Update the queues' gauges from the workers.

    ``patience`` is the time in seconds within which every worker sends an event. The metrics in ``elsewhere`` are
    counted by the broker and are not shown here.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- it connects that much
        self,
        store: Store,
        workers: Workers,
        queues: Queues,
        clock: Clock,
        patience: float,
        elsewhere: Collection[Metric] = (),
    ) -> None:
        self._store = store
        self._workers = workers
        self._queues = queues
        self._clock = clock
        self._patience = patience
        gauges = (rows.QUEUE_CONSUMERS, rows.QUEUE_CONCURRENCY)
        self._shown: dict[Metric, set[str]] = {metric: set() for metric in gauges if metric not in elsewhere}
        self._seen: tuple[int, int, bool] | None = None

    def refresh(self) -> None:
        """Update the gauges if anything changed."""
        since = self._workers.listening_since
        is_settled = since is not None and self._clock.monotonic() - since >= self._patience
        seen = (self._workers.revision, self._queues.revision, is_settled)
        if seen == self._seen:
            return
        online = self._workers.online()
        self._queues.hold(CONSUMERS, {queue for worker in online for queue in worker.setup.queues or ()})
        self._seen = (self._workers.revision, self._queues.revision, is_settled)
        certain = is_settled and all(worker.setup.queues is not None for worker in online)
        self._show(online, certain=certain)

    def _show(self, online: Iterable[Worker], *, certain: bool) -> None:
        consumers: Counter[str] = Counter()
        slots: Counter[str] = Counter()
        silent: set[str] = set()
        for worker in online:
            for queue in {self._queues.shown(queue) for queue in worker.setup.queues or ()}:
                consumers[queue] += 1
                if worker.setup.concurrency is None:
                    silent.add(queue)
                else:
                    slots[queue] += worker.setup.concurrency
        known = {self._queues.shown(queue) for queue in self._queues.known()}
        known = {queue for queue in known if certain or consumers[queue]}
        self._replace(rows.QUEUE_CONSUMERS, {queue: consumers[queue] for queue in known})
        self._replace(rows.QUEUE_CONCURRENCY, {queue: slots[queue] for queue in known if queue not in silent})

    def _replace(self, metric: Metric, values: dict[str, int]) -> None:
        if metric not in self._shown:
            return
        for queue in self._shown[metric] - values.keys():
            self._store.discard(metric, (queue,))
        for queue, value in values.items():
            self._store.scalar(metric, queue).value = value
        self._shown[metric] = set(values)
