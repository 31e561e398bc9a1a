"""What a table is: columns of cells, and short ways to write the usual ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from celery_redis_exporter.records.report import Report
from celery_redis_exporter.status.format import UNKNOWN, say_ago, say_moment

Tone = Literal["", "ok", "warning", "critical", "soft"]
Take = Callable[[Any], Any]


class Cell(NamedTuple):
    """What stands in a cell: text, how it is meant, a share to be drawn as a bar, and what more there is to say."""

    text: str
    tone: Tone = ""
    share: float | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``key`` names it in addresses, ``order`` gives what rows are sorted by (None: always last).

    ``cell`` takes the row and the time of the report. Where there is little room the greatest ``weight`` goes first;
    0 stays.
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
    """A table: ``sort`` is the key of the column that it is sorted by at first, with ``-`` for the largest first.

    ``words`` are what a row can be found by, ``empty`` stands in the place of rows.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[Report], Sequence[Any]]
    words: Callable[[Any], Iterable[str]]
    sort: str
    empty: str


class Order(NamedTuple):
    """What a table is sorted by."""

    column: Column
    descending: bool


def number(key: str, title: str, field: str, say: Callable[[Any], str], weight: int, hint: str = "") -> Column:  # noqa: PLR0913, PLR0917 -- a row of a table
    """A column of a number, ``field`` of the row (with a dot: of a part, which may be missing)."""
    take = _taker(field)
    return Column(key, title, take, lambda row, _: Cell(say(take(row))), weight, hint)


def moment(key: str, title: str, field: str, weight: int) -> Column:
    """A column of a moment, told as how long ago it was."""
    take = attrgetter(field)

    def cell(row: object, now: float) -> Cell:
        at = take(row)
        return Cell(say_ago(at, now), hint="" if at is None else say_moment(at))

    return Column(key, title, take, cell, weight)


def words(key: str, title: str, take: Take, weight: int, tone: Tone = "") -> Column:
    """A column of text, or of a list of texts."""

    def cell(row: object, _: float) -> Cell:
        found = take(row)
        return Cell((", ".join(found) if isinstance(found, list) else found) or UNKNOWN, tone)

    return Column(key, title, take, cell, weight, numeric=False)


def name(title: str) -> Column:
    """The column of the name."""
    return words("name", title, attrgetter("name"), 0)


def _taker(field: str) -> Take:
    part, _, inner = field.rpartition(".")
    if not part:
        return attrgetter(field)

    def take(row: object) -> object:
        found = getattr(row, part)
        return None if found is None else getattr(found, inner)

    return take
