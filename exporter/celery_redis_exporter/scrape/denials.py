"""Binds the rooms for what servers refuse: sources.refusals -> samples, and one line in the log for each.

Takes the servers of a scrape, gives the commands that each of them refuses at the moment. Asks nobody.
"""

from collections.abc import Callable, Iterable

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.redis_server import ServerScrape
from celery_redis_exporter.scrape.scrape import Target

log = structlog.get_logger(__name__)


class Denials:
    """Tells what ``targets`` refuse."""

    def __init__(self, targets: Callable[[], Iterable[Target]]) -> None:
        self._targets = targets
        self._told: set[tuple[str, str]] = set()

    def samples(self) -> list[Sample]:
        """Give a sample for each command that is refused; log those that are new. Not for two threads at a time."""
        denied = {
            (target.name, right)
            for target in self._targets()
            if isinstance(target, ServerScrape)
            for right in target.server.session.refused
        }
        for redis, right in sorted(denied - self._told):
            log.warning("denials.command_refused", redis=redis, command=right, cure=f"ACL SETUSER <user> +{right}")
        self._told = denied
        return [Sample(internals.COMMAND_DENIED, labels, 1) for labels in sorted(denied)]
