# SPDX-License-Identifier: Apache-2.0
"""Add matchers to the selectors of an expression: those of an installation, and guards against other exporters' series.

Input: an expression of a rule. Output: one with more matchers. The metrics are those of the catalogue.
"""

import re

from celery_redis_exporter.catalog import CATALOG, Kind

SUFFIXES = ("_bucket", "_count", "_sum")
GUARDED = {"celery_queue_length": "queue", "celery_worker_up": "worker", "celery_worker_tasks_active": "worker"}
"""Names that celery-exporter uses too, with a label that only this exporter's series have.

``redis_*`` names are also those of redis_exporter.
"""
FOREIGN = ("up", "process_start_time_seconds")
"""Metrics that are not in the catalogue."""


def select(expr: str, selector: str) -> str:
    """Add matchers to every selector of a metric. Recorded series already have them."""
    if not selector:
        return expr

    def with_matchers(found: re.Match[str]) -> str:
        name, brace = found.groups()
        return f"{name}{{{selector}, " if brace else f"{name}{{{selector}}}"

    return _SELECTORS.sub(with_matchers, expr)


def guard(expr: str) -> str:
    """Exclude other exporters' series of the same name: they lack a label that this exporter's series always have."""

    def with_guard(found: re.Match[str]) -> str:
        name, matchers = found.groups()
        label = "redis" if name.startswith("redis_") else GUARDED.get(name)
        if label is None or re.search(rf"\b{label}\s*=", matchers or ""):
            return found[0]
        more = f", {matchers}" if matchers else ""
        return f'{name}{{{label}!=""{more}}}'

    return _GUARDED_SELECTORS.sub(with_guard, expr)


def select_guarded(expr: str, selector: str) -> str:
    """Add guards and matchers to every selector of a metric."""
    return select(guard(expr), selector)


def _sample_names() -> list[str]:
    names = list(FOREIGN)
    for metric in CATALOG.values():
        distributed = metric.kind in {Kind.HISTOGRAM, Kind.SUMMARY}
        names += [metric.name, *([metric.name + suffix for suffix in SUFFIXES] if distributed else [])]
    return sorted(names, key=len, reverse=True)


_GUARDED_SELECTORS = re.compile(r"(?<![\w:])((?:redis|celery)_\w+)(?![\w:])(?:\{([^}]*)\})?")
# No label or function has the name of a metric, and names of recorded rules contain a colon.
_SELECTORS = re.compile(rf"(?<![\w:])({'|'.join(_sample_names())})(?![\w:])(\{{)?")
