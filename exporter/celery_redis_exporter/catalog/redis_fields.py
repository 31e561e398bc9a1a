"""How rows are declared that come from fields of INFO: a table each of names, fields and helps.

Takes tables, gives metrics; names get ``redis_`` in front. Standard library only.
"""

from collections.abc import Iterable

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import Info, Metric, counter, gauge

OK_WORDS = (("ok", 1.0), ("true", 1.0), ("err", 0.0), ("fail", 0.0), ("false", 0.0))
"""Words that redis_exporter takes for numbers, in any field."""

InfoRow = tuple[str, str, str]
"""Name without ``redis_``, field of INFO, help."""


def info_gauges(section: str, rows: Iterable[InfoRow]) -> tuple[Metric, ...]:
    """Declare a gauge for each row."""
    return tuple(gauge(f"redis_{name}", text, (lb.REDIS,), _origin(section, field)) for name, field, text in rows)


def info_counters(section: str, rows: Iterable[InfoRow]) -> tuple[Metric, ...]:
    """Declare a counter for each row; its name may lack ``_total``, since redis_exporter has chosen it."""
    return tuple(counter(f"redis_{name}", text, (lb.REDIS,), _origin(section, field)) for name, field, text in rows)


def _origin(section: str, field: str) -> Info:
    return Info(section, field, words=OK_WORDS)
