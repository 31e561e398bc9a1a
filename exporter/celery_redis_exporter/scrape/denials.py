# SPDX-License-Identifier: Apache-2.0
"""Turn the commands that servers refuse into samples, with one log line for each.

Input: the servers that a scrape reads. Output: a sample for each command that one of them refuses. Sends nothing.
"""

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.server_reads import ServerReads

log = structlog.get_logger(__name__)


class Denials:
    """Report the commands that the servers of ``reads`` refuse."""

    def __init__(self, reads: ServerReads) -> None:
        self._reads = reads
        self._told: set[tuple[str, str]] = set()

    def samples(self) -> list[Sample]:
        """Return a sample for each refused command, and log the new ones. Not thread-safe."""
        denied = {(target.name, denial.command): denial for target in self._reads.targets for denial in target.denied}
        for labels in sorted(denied.keys() - self._told):
            redis, command = labels
            log.warning("denials.command_refused", redis=redis, command=command, cure=denied[labels].cure)
        self._told = set(denied)
        return [Sample(internals.COMMAND_DENIED, labels, 1) for labels in sorted(denied)]
