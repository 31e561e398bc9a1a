# SPDX-License-Identifier: Apache-2.0
"""Remove a server from the scrape if it is the same as another one, so that sums are not doubled.

Input: the samples of a scrape, with the run ids of the servers. Output: the later of two servers with the same run id
is not read. After AGAIN_SECONDS it is read again, since a name may resolve to another server by then. Names with the
same address are removed earlier: see ``settings.targets``. Sends nothing.
"""

import threading
from collections.abc import Mapping, Sequence

import structlog

from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target

AGAIN_SECONDS = 600.0
_RUN_ID = rows.INSTANCE_INFO.label_names.index("run_id")

log = structlog.get_logger(__name__)


class DuplicateServers:
    """Keep duplicate servers out of ``reads``."""

    def __init__(self, reads: ServerReads, clock: Clock) -> None:
        self._reads = reads
        self._clock = clock
        self._out: dict[str, tuple[float, Target]] = {}
        self._told: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def note(self, found: Mapping[str, Sequence[Sample]]) -> None:
        """Check the samples of a scrape, by server in the order of the settings. Thread-safe."""
        if len(found) < 2 and not self._out:
            return
        with self._lock:
            self._let_in(self._clock.monotonic())
            known: dict[str, str] = {}
            for name, samples in found.items():
                run_id = next((sample.labels[_RUN_ID] for sample in samples if sample.metric is rows.INSTANCE_INFO), "")
                if run_id and known.setdefault(run_id, name) != name and name not in self._out:
                    self._keep_out(name, known[run_id])

    def _keep_out(self, name: str, first: str) -> None:
        target = next((target for target in self._reads.targets if target.name == name), None)
        if target is None:
            return
        self._out[name] = (self._clock.monotonic() + AGAIN_SECONDS, target)
        self._reads.remove(name)
        if (name, first) not in self._told:
            self._told.add((name, first))
            log.warning(
                "duplicate_servers.server_is_another",
                redis=name,
                same_as=first,
                cure=f"take {name} out of the settings",
            )

    def _let_in(self, now: float) -> None:
        for name in [name for name, (until, _) in self._out.items() if now >= until]:
            _, target = self._out.pop(name)
            self._reads.add(target)
