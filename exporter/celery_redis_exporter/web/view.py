# SPDX-License-Identifier: Apache-2.0
"""How a reader wants to see the page: filter, order, tables shown in full, seconds between two loads.

Input: the parameters of a query string, none of which is trusted. Output: addresses that keep them. Parameters that are
not valid are ignored, because the address may be older than the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlencode

from celery_redis_exporter.status.tables import APPLICATIONS, TABLES, Order, read_order

LONGEST = 200
"""Most characters of a filter."""
REFRESHES = (0, 2, 5, 10, 30, 60)
"""The choices of seconds between two loads; 0 is never."""
USUAL = 10


@dataclass(frozen=True, slots=True)
class View:
    """``wanted`` is the text that rows must contain, ``sorts`` the order by table as it was written.

    ``whole`` contains the tables of which every row is shown. ``refresh`` is in seconds. ``application`` is one of
    several, or empty. ``problems`` shows only what is not well.
    """

    wanted: str = ""
    sorts: Mapping[str, str] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    refresh: int = USUAL
    application: str = ""
    problems: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Return the view of a query."""
        refresh = query.get("refresh", "")
        return cls(
            query.get("q", "").strip()[:LONGEST],
            {name: query[name] for name in _BY_NAME if _is_order(name, query)},
            frozenset(name for name in _BY_NAME if name in query.get("all", "").split(",")),
            int(refresh) if refresh in map(str, REFRESHES) else USUAL,
            query.get("application", "").strip(),
            query.get("problems") == "1",
        )

    @property
    def address(self) -> str:
        """Return a relative address of this view."""
        said = {"application": self.application, "q": self.wanted, **self.sorts, "all": ",".join(sorted(self.whole))}
        if self.problems:
            said["problems"] = "1"
        if self.refresh != USUAL:
            said["refresh"] = str(self.refresh)
        return "?" + urlencode({name: value for name, value in said.items() if value})

    def sorted_by(self, table: str, order: str) -> "View":
        """Return this view with a table in another order."""
        return replace(self, sorts={**self.sorts, table: order})

    def toggled(self, table: str) -> "View":
        """Return this view with a table shown in full, or no longer."""
        return replace(self, whole=self.whole ^ {table})

    def filtered(self, *, problems: bool) -> "View":
        """Return this view with everything, or with what is not well."""
        return replace(self, problems=problems)

    def refreshed(self, seconds: int) -> "View":
        """Return this view with another number of seconds between two loads."""
        return replace(self, refresh=seconds)

    def order(self, table: str) -> Order:
        """Return the order of a table."""
        return read_order(_BY_NAME[table], self.sorts.get(table, ""))


_BY_NAME = {table.name: table for table in (*TABLES, APPLICATIONS)}


def _is_order(name: str, query: Mapping[str, str]) -> bool:
    wanted = query.get(name, "").removeprefix("-")
    return any(wanted == column.key for column in _BY_NAME[name].columns)
