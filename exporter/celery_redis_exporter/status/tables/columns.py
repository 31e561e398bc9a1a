# SPDX-License-Identifier: Apache-2.0
"""Define tables and their columns, with functions that make the usual columns."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from celery_redis_exporter.records.report import State
from celery_redis_exporter.status.format import UNKNOWN, say_ago, say_moment, say_trend

Tone = Literal["", "ok", "warning", "critical", "soft"]
Take = Callable[[Any], Any]


class Cell(NamedTuple):
    """The content of a cell: text, its tone, a ratio to be drawn as a bar, and a longer explanation.

    ``application`` is the name of an application whose page the text links to. ``trend`` are values, oldest first,
    that can be drawn as a line instead of the text.
    """

    text: str
    tone: Tone = ""
    share: float | None = None
    hint: str = ""
    application: str = ""
    trend: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``key`` names it in addresses. ``order`` returns the sort key of a row (None: always last).

    ``cell`` takes the row and the time of the report. If there is too little space, the column with the greatest
    ``weight`` is left out first. A column of weight 0 is always shown.
    """

    key: str
    title: str
    order: Take
    cell: Callable[[Any, float], Cell]
    weight: int
    hint: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a ``Report``, or of an ``Overview``.

    ``sort`` is the key of the column that it is sorted by at first, with ``-`` for the largest first. ``words`` returns
    the texts of a row that a filter searches. ``empty`` is shown instead of rows. ``judge`` returns the verdict on a
    row. ``shown`` rows are shown unless all are requested.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[Any], Sequence[Any]]
    words: Callable[[Any], Iterable[str]]
    sort: str
    empty: str
    judge: Callable[[Any], State] = lambda _: "ok"
    shown: int = 10


class Order(NamedTuple):
    """The column that a table is sorted by, and the direction.

    ``worst_first`` puts rows with a bad verdict before all others.
    """

    column: Column
    descending: bool
    worst_first: bool = False


def number(key: str, title: str, field: str, say: Callable[[Any], str], weight: int, hint: str = "") -> Column:  # noqa: PLR0913, PLR0917 -- a row of a table
    """Return a column of a number. ``field`` is an attribute of the row; with a dot, of a part that may be missing."""
    take = _taker(field)
    return Column(key, title, take, lambda row, _: Cell(say(take(row))), weight, hint)


def moment(key: str, title: str, field: str, weight: int) -> Column:
    """Return a column of a moment, shown as the time since then."""
    take = attrgetter(field)

    def cell(row: object, now: float) -> Cell:
        at = take(row)
        return Cell(say_ago(at, now), hint="" if at is None else say_moment(at))

    return Column(key, title, take, cell, weight)


def words(key: str, title: str, take: Take, weight: int, tone: Tone = "") -> Column:
    """Return a column of text, or of a list of texts."""

    def cell(row: object, _: float) -> Cell:
        found = take(row)
        return Cell((", ".join(found) if isinstance(found, list) else found) or UNKNOWN, tone)

    return Column(key, title, take, cell, weight, numeric=False)


def trend(title: str, say: Callable[[float], str], weight: int, hint: str) -> Column:
    """Return the column of a trend, ordered by its largest value. ``hint`` explains it, ``say`` words a value."""

    def highest(row: Any) -> float | None:  # noqa: ANN401 -- rows of several tables
        return max((value for value in row.trend if value is not None), default=None)

    def cell(row: Any, _: float) -> Cell:  # noqa: ANN401 -- rows of several tables
        most = highest(row)
        return Cell(say_trend(row.trend), hint="" if most is None else f"at most {say(most)}", trend=row.trend)

    return Column("trend", title, highest, cell, weight, hint)


def name(title: str) -> Column:
    """Return the column of the name."""
    return words("name", title, attrgetter("name"), 0)


def _taker(field: str) -> Take:
    part, _, inner = field.rpartition(".")
    if not part:
        return attrgetter(field)

    def take(row: object) -> object:
        found = getattr(row, part)
        return None if found is None else getattr(found, inner)

    return take
