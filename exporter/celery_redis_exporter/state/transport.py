# SPDX-License-Identifier: Apache-2.0
"""Choose the transport options: the exporter's own settings if they are set, else what workers report.

Input: settings that workers reported. Output: the current options. Thread-safe: one tuple is replaced.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from celery_redis_exporter.records.inspection import AppSettings


class KombuOptions(NamedTuple):
    """Transport options, named as in Celery. ``visibility_timeout`` is in seconds."""

    visibility_timeout: float
    sep: str
    priority_steps: tuple[int, ...]


class Transport:
    """The current transport options.

    ``own`` are the exporter's, ``given`` names those of them that the user set, which are never replaced. If workers
    differ, the current options are:

    - the shortest visibility timeout, because each worker delivers the messages of all workers again;
    - the priority steps of all workers, because each publisher fills its own lists;
    - the separator of most workers.
    """

    def __init__(self, own: KombuOptions, given: frozenset[str] = frozenset()) -> None:
        self.current = own
        self._given = given

    def learn(self, reported: Iterable[AppSettings]) -> None:
        """Replace the options by those that the online workers report. Without a report nothing changes."""
        settings = list(reported)
        timeouts = [one.visibility_timeout for one in settings if one.visibility_timeout is not None]
        steps = {step for one in settings for step in one.priority_steps or ()}
        separators = Counter(one.sep for one in settings if one.sep is not None)
        found: dict[str, object] = {}
        if timeouts:
            found["visibility_timeout"] = min(timeouts)
        if steps:
            found["priority_steps"] = tuple(sorted(steps))
        if separators:
            found["sep"] = min(separators, key=lambda sep: (-separators[sep], sep))
        self.current = self.current._replace(**{k: v for k, v in found.items() if k not in self._given})  # type: ignore[arg-type]
