# SPDX-License-Identifier: Apache-2.0
"""What the user wants to see, and how keys change it.

Input: keys by name. Output: another look. The keyboard is never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from celery_redis_exporter.status.tables import (
    PERIODIC,
    QUEUES,
    RUNNING,
    SERVERS,
    TASKS,
    WORKERS,
    Order,
    Table,
    read_order,
)

CHOICES = (TASKS, QUEUES, WORKERS, RUNNING, PERIODIC, SERVERS)
"""The tables in the order of their keys."""
USUAL = 3
"""Number of tables that are always shown."""
PAGE = 10
LONGEST = 80


@dataclass(frozen=True, slots=True)
class Look:
    """``chosen`` is the number of the table that keys act on and that gets the most lines.

    ``first`` is its first row on the screen.
    """

    chosen: int = 0
    sorts: Mapping[str, str] = field(default_factory=dict)
    wanted: str = ""
    first: int = 0
    paused: bool = False
    typing: bool = False
    helping: bool = False
    leaving: bool = False

    @property
    def table(self) -> Table:
        """Return the table that keys act on."""
        return CHOICES[self.chosen]

    def order(self, table: Table) -> Order:
        """Return the order of a table."""
        return read_order(table, self.sorts.get(table.name, ""))

    def press(self, key: str) -> Self:
        """Return the look after a key: a character, or one of the names of ``keys``."""
        if self.typing:
            return self._type(key)
        if self.helping:
            return replace(self, helping=False)
        if key in {"tab", "back-tab", *map(str, range(1, len(CHOICES) + 1))}:
            step = {"tab": self.chosen + 1, "back-tab": self.chosen - 1}.get(key)
            return replace(self, chosen=int(key) - 1 if step is None else step % len(CHOICES), first=0)
        changes = self._changes().get(key)
        return self._move(key) if changes is None else replace(self, **changes)

    def _changes(self) -> dict[str, dict[str, Any]]:
        """Return the changes of simple keys."""
        leave, pause, explain = {"leaving": True}, {"paused": not self.paused}, {"helping": True}
        return {
            "q": leave, "ctrl-c": leave, "p": pause, " ": pause, "?": explain, "h": explain,
            "/": {"typing": True}, "esc": {"wanted": "", "first": 0}, "home": {"first": 0}, "g": {"first": 0},
        }  # fmt: skip

    def _move(self, key: str) -> Self:
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -PAGE, "page-down": PAGE}
        if key in steps:
            return replace(self, first=max(self.first + steps[key], 0))
        if key in {"<", "left", ">", "right"}:
            return self._sort(1 if key in {">", "right"} else -1)
        if key == "r":
            order = self.order(self.table)
            return self._sorted(order.column.key if order.descending else f"-{order.column.key}")
        return self

    def _sort(self, step: int) -> Self:
        columns = self.table.columns
        column = columns[(columns.index(self.order(self.table).column) + step) % len(columns)]
        return self._sorted(f"-{column.key}" if column.numeric else column.key)

    def _sorted(self, order: str) -> Self:
        return replace(self, sorts={**self.sorts, self.table.name: order}, first=0)

    def _type(self, key: str) -> Self:
        if key in {"enter", "esc", "ctrl-c"}:
            return replace(self, typing=False, wanted="" if key == "esc" else self.wanted)
        if key == "backspace":
            return replace(self, wanted=self.wanted[:-1], first=0)
        if len(key) == 1 and key.isprintable():
            return replace(self, wanted=(self.wanted + key)[:LONGEST], first=0)
        return self
