"""How rows of the catalogue are read from fields of INFO-like replies.

Takes rows and the texts of fields, gives numbers in the metric's unit, or none where there is none. Keeps nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog.metric import Info
from celery_redis_exporter.records.samples import Sample

MAX_DIGITS = 20


def read_whole(value: str) -> int | None:
    """Give a whole number that 64 bits may hold; None for anything else, as Python refuses to read endless ones."""
    return int(value) if value.isdecimal() and len(value) < MAX_DIGITS else None


class FieldRow(NamedTuple):
    """How one metric is read from its field; see ``catalog.metric.Info``."""

    metric: Metric
    part: str
    part_elsewhere: str
    divisor: float
    words: dict[str, float]

    def read(self, value: str | None) -> float | None:
        """Give the value in the metric's unit; None if it is missing or no number."""
        if value is None:
            return None
        try:
            whole = read_whole(value)
            number = float(value) if whole is None else whole
        except ValueError:
            return self.words.get(value)
        return number if self.divisor == 1 else number / self.divisor


def row_of(metric: Metric) -> FieldRow:
    """Give how a metric is read; raise TypeError if it does not come from INFO."""
    origin = metric.origin
    if not isinstance(origin, Info):
        raise TypeError(f"{metric.name} does not come from INFO")
    return FieldRow(metric, origin.part, origin.part_elsewhere, origin.divisor, dict(origin.words))


def is_numbered(metric: Metric) -> bool:
    """Whether a metric comes from fields of which there are several, as db0 and db1."""
    return isinstance(metric.origin, Info) and metric.origin.fieldname.endswith("*")


def index_rows(metrics: Iterable[Metric]) -> dict[str, list[FieldRow]]:
    """Map fields, or their prefixes (the field without its star), to the rows that read them."""
    rows_by_field: dict[str, list[FieldRow]] = defaultdict(list)
    for metric in metrics:
        row = row_of(metric)
        if isinstance(metric.origin, Info):
            rows_by_field[metric.origin.fieldname.rstrip("*")].append(row)
    return dict(rows_by_field)


def decode_value(rows: Iterable[FieldRow], labels: tuple[str, ...], value: str) -> list[Sample]:
    """Give the samples of rows that read the whole of a field."""
    read = ((row, row.read(value)) for row in rows)
    return [Sample(row.metric, labels, number) for row, number in read if number is not None]


def decode_parts(rows: Iterable[FieldRow], labels: tuple[str, ...], parts: dict[str, str]) -> list[Sample]:
    """Give the samples of rows that read a part of a field."""
    samples = []
    for row in rows:
        number = row.read(parts.get(row.part) or parts.get(row.part_elsewhere))
        if number is not None:
            samples.append(Sample(row.metric, labels, number))
    return samples


def read_keys(value: str) -> int | None:
    """Give the keys of a database from its line in INFO, ``keys=3,expires=1``; None where it does not tell them."""
    return read_whole(split_parts(value).get("keys", ""))


def split_parts(value: str) -> dict[str, str]:
    """Split ``keys=3,expires=1`` into its parts."""
    return dict([part.partition("=")[::2] for part in value.split(",")])
