"""Turns what servers refuse into samples, with one line in the log for each.

Takes the targets of a scrape and returns the commands that each of them refuses at the moment. Sends nothing.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.scrape import Target
from celery_redis_exporter.sources.refusals import Denial

log = structlog.get_logger(__name__)


@runtime_checkable
class Refusing(Protocol):
    """A target that knows what its server refuses: a Redis server, or the queues of another broker."""

    @property
    def denied(self) -> list[Denial]:
        """What the server refuses at the moment."""


def denials_of(target: Target) -> list[Denial]:
    """Return what a target's server refuses at the moment."""
    return target.denied if isinstance(target, Refusing) else []


class Denials:
    """Reports what ``targets`` refuse."""

    def __init__(self, targets: Callable[[], Iterable[Target]]) -> None:
        self._targets = targets
        self._told: set[tuple[str, str]] = set()

    def samples(self) -> list[Sample]:
        """Give a sample for each command that is refused; log those that are new. Not for two threads at a time."""
        denied = {(target.name, denial.command): denial for target in self._targets() for denial in denials_of(target)}
        for labels in sorted(denied.keys() - self._told):
            redis, command = labels
            log.warning("denials.command_refused", redis=redis, command=command, cure=denied[labels].cure)
        self._told = set(denied)
        return [Sample(internals.COMMAND_DENIED, labels, 1) for labels in sorted(denied)]
