# SPDX-License-Identifier: Apache-2.0
"""Decide which names are shown, and in which form: filters and rewrites for tasks, queues and workers.

Input: a name in Celery. Output: the name to show, or None if it is left out. Patterns are regular expressions that must
match the whole name, as in Prometheus's relabelling. Never raises for a name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN

REMEMBERED = 20_000
"""The number of names whose result is cached. When there are more, the cache is cleared."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A pattern, and the text that replaces a matching name, as ``re.Match.expand`` reads it."""

    pattern: re.Pattern[str]
    replacement: str


class NameRules:
    """Filters for the original name, then the first rewrite that matches.

    An empty ``include`` includes everything. ``exclude`` takes precedence over ``include``.
    """

    def __init__(
        self,
        include: Sequence[re.Pattern[str]] = (),
        exclude: Sequence[re.Pattern[str]] = (),
        rewrites: Sequence[Rewrite] = (),
    ) -> None:
        self.needed = bool(include or exclude or rewrites)
        self._include, self._exclude, self._rewrites = include, exclude, rewrites
        self._known: dict[str, str | None] = {}

    def apply(self, name: str) -> str | None:
        """Return the name to show, or None."""
        if not self.needed:
            return name
        if name in self._known:
            return self._known[name]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        shown = self._known[name] = self._judge(name)
        return shown

    def _judge(self, name: str) -> str | None:
        if self._include and not any(pattern.fullmatch(name) for pattern in self._include):
            return None
        if any(pattern.fullmatch(name) for pattern in self._exclude):
            return None
        for rewrite in self._rewrites:
            found = rewrite.pattern.fullmatch(name)
            if found is not None:
                return found.expand(rewrite.replacement)
        return name


@dataclass(frozen=True, slots=True)
class Naming:
    """The rules for each kind of name. With ``worker_label`` each worker has its own task series."""

    task: NameRules = field(default_factory=NameRules)
    queue: NameRules = field(default_factory=NameRules)
    worker: NameRules = field(default_factory=NameRules)
    worker_label: bool = False

    @property
    def renames_tasks(self) -> bool:
        """Return True if a task's or queue's name can be shown in another form, or not at all."""
        return self.task.needed or self.queue.needed

    def queue_shown(self, queue: str) -> str | None:
        """Return the name to show for a queue. UNKNOWN and OVERFLOW are never changed."""
        return queue if queue in {UNKNOWN, OVERFLOW} else self.queue.apply(queue)

    def worker_shown(self, worker: str) -> str:
        """Return the label value of a worker on task series, where it can't be left out."""
        return self.worker.apply(worker) or UNKNOWN
