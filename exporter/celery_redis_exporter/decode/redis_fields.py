# SPDX-License-Identifier: Apache-2.0
"""Read fields of INFO-like replies by the catalogue's rows.

Input: texts of fields. Output: samples, with numbers in the metric's unit. Nothing is kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog.metric import Info
from celery_redis_exporter.catalog.server_fields import REDIS_NAMES
from celery_redis_exporter.records.samples import Sample

MAX_DIGITS = 20
LONGEST_LINE = 1024
LONGEST_LABEL = 200
"""The maximum number of characters of a label. LONGEST_LINE is that of a field, name and value together.

The rest is cut off.
"""
NO_VALUE = ("", "-1")

Fields = Sequence[tuple[str, str]]
"""Names and values in the order of the reply. A name may come more than once."""


class FieldRow(NamedTuple):
    """How one metric is read from its field. The attributes are those of ``catalog.metric.Info``."""

    metric: Metric
    part: str
    part_elsewhere: str
    divisor: float
    words: dict[str, float]
    least: float
    most: float


class FieldReader:
    """Turn fields into ``samples``, in the metrics' units.

    ``refused`` counts values that are invalid for their metric: not a number, nan, out of range. Empty values and -1,
    by which servers report that they have none, are not counted.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.refused = 0

    def value(self, rows: Iterable[FieldRow], labels: tuple[str, ...], value: str) -> None:
        """Add the samples of rows that read the whole value of a field."""
        number = read_number(value)
        for metric, _, _, divisor, words, least, most in rows:
            if number is None:
                found = words.get(value)
            elif least <= number <= most:  # This refuses nan too, which is in no range.
                found = number if divisor == 1 else number / divisor
            else:
                found = None
            if found is not None:
                self.samples.append(Sample(metric, labels, found))
            elif value not in NO_VALUE:
                self.refused += 1

    def parts(self, rows: Iterable[FieldRow], labels: tuple[str, ...], parts: Mapping[str, str]) -> None:
        """Add the samples of rows that read one part of a field's value."""
        for row in rows:
            value = parts.get(row.part) or parts.get(row.part_elsewhere)
            if value:
                self.value((row,), labels, value)


def read_whole(value: str) -> int | None:
    """Return a whole number of at most 19 digits, or None for anything else. Python refuses to parse very long ones."""
    return int(value) if value.isdecimal() and len(value) < MAX_DIGITS else None


def read_number(value: str) -> float | None:
    """Return a number, or None if the text is not one."""
    if value.isdecimal() and len(value) < MAX_DIGITS:
        return int(value)
    try:
        return float(value)
    except ValueError:
        return None


def read_fields(text: str) -> list[tuple[str, str]]:
    """Split an INFO-like reply into its fields, each with the name that Redis uses."""
    lines = [line[:LONGEST_LINE].partition(":") for line in text.split("\r\n")]
    return [(REDIS_NAMES.get(name, name), value) for name, colon, value in lines if colon and not name.startswith("#")]


def row_of(metric: Metric) -> FieldRow:
    """Return how a metric is read. Raises TypeError if it does not come from INFO."""
    origin = metric.origin
    if not isinstance(origin, Info):
        raise TypeError(f"{metric.name} does not come from INFO")
    return FieldRow(
        metric, origin.part, origin.part_elsewhere, origin.divisor, dict(origin.words), origin.least, origin.most
    )


def index_rows(metrics: Iterable[Metric]) -> dict[str, list[FieldRow]]:
    """Return the rows by field, as the catalogue names it: ``used_memory``, or ``cmdstat_*`` for a group of fields."""
    rows_by_field: dict[str, list[FieldRow]] = defaultdict(list)
    for metric in metrics:
        row = row_of(metric)
        if isinstance(metric.origin, Info):
            rows_by_field[metric.origin.fieldname].append(row)
    return dict(rows_by_field)


def read_keys(value: str) -> int | None:
    """Return the number of keys in the INFO field of a database, ``keys=3,expires=1``, or None if it is missing."""
    return read_whole(split_parts(value).get("keys", ""))


def split_parts(value: str) -> dict[str, str]:
    """Split ``keys=3,expires=1`` into its parts."""
    return dict([part.partition("=")[::2] for part in value.split(",")])
