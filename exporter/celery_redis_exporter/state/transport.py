"""How the application's kombu uses Redis: the exporter's own settings where they are given, else what workers report.

Input: settings that workers reported. Output: the options in force. Safe from any thread: one tuple is replaced.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from celery_redis_exporter.records.inspection import AppSettings


class KombuOptions(NamedTuple):
    """Transport options by the names that Celery gives them; ``visibility_timeout`` in seconds."""

    visibility_timeout: float
    sep: str
    priority_steps: tuple[int, ...]


class Transport:
    """The transport options in force.

    ``own`` are the exporter's, ``given`` names those of them that the user set: they are never replaced. Of workers
    that differ the shortest visibility timeout is in force, because each worker delivers the messages of all again; the
    priority steps of all of them, because each publisher fills its own lists; and the separator of most of them.
    """

    def __init__(self, own: KombuOptions, given: frozenset[str] = frozenset()) -> None:
        self.current = own
        self._given = given

    def learn(self, reported: Iterable[AppSettings]) -> None:
        """Take over what the workers that are online report; without a report the last one stays in force."""
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
