# SPDX-License-Identifier: Apache-2.0
"""Define settings that choose names: filters and rewrites of tasks, queues and workers, static labels, dropped metrics.

Input: text or YAML values. Output: compiled, immutable ones. Invalid values raise ValueError with the cause.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.errors import suggest
from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.patterns import compile_pattern, read_replacement
from celery_redis_exporter.settings.schema.values import SettingsGroup

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
TAKEN = {label.name for metric in CATALOG.values() for label in metric.labels} | {"le", "generation"}
"""Labels that metrics already have, including those of the process metrics."""
TAKEN |= {"implementation", "major", "minor", "patchlevel", "version"}


def _check_patterns(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        compile_pattern(text)
    return texts


def _check_rewrites(rewrites: Mapping[str, str]) -> Mapping[str, str]:
    for text, replacement in rewrites.items():
        read_replacement(compile_pattern(text), replacement)
    return rewrites


def _check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    for name in labels:
        if not LABEL.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"has {name!r}, which can't be a label's name: letters, digits and _, no digit first")
        if name in TAKEN:
            raise ValueError(f"has {name!r}, which is a label of the exporter's own metrics; choose another name")
    return labels


def _check_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in CATALOG:
            raise ValueError(f"has {name!r}, which is no metric of this exporter{suggest(name, tuple(CATALOG))}")
    return names


def _text_values(value: Any) -> Any:  # noqa: ANN401 -- what the user wrote
    return {name: str(text) for name, text in value.items()} if isinstance(value, Mapping) else value


Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(v.parse_list), AfterValidator(_check_patterns)
]
Rewrites = Annotated[dict[str, str], BeforeValidator(v.parse_object), AfterValidator(_check_rewrites)]
Labels = Annotated[
    dict[str, str], BeforeValidator(_text_values), BeforeValidator(v.parse_mapping), AfterValidator(_check_labels)
]
Metrics = Annotated[v.NameList, AfterValidator(_check_metrics)]


class NameOptions(SettingsGroup):
    """Names of one kind. Patterns match whole names."""

    include: Patterns = Field((), description="Patterns of the names to show; empty shows all.")
    exclude: Patterns = Field((), description="Patterns of the names to leave out.")
    rewrite: Rewrites = Field(
        default_factory=dict, description='Names to show instead, by pattern, as JSON: {"(.+)-[0-9a-f]{8}": "$1"}.'
    )


class NamesOptions(SettingsGroup):
    """Names of tasks, queues and workers."""

    task: NameOptions = NameOptions()
    queue: NameOptions = NameOptions()
    worker: NameOptions = NameOptions()
    by_shadow: bool = Field(
        default=False,
        description="Count tasks that are published with shadow under that name instead of their own. It may contain "
        "anything, so rewrite it if it contains ids.",
    )


class MetricOptions(SettingsGroup):
    """What metrics look like."""

    labels: Labels = Field(default_factory=dict, description="Labels that every metric gets, as in env=prod.")
    drop: Metrics = Field((), description="Metrics to leave out.")
    worker_label: bool = Field(default=False, description="Add the label worker to task metrics: many more series.")
    created: bool = Field(default=False, description="Add the start of each counter in OpenMetrics (_created).")
    native_histograms: bool = Field(
        default=False,
        description="Count task times and event lag in native histograms, too, and offer the protobuf format.",
    )
    classic_histograms: bool = Field(
        default=True,
        description="Send classic buckets beside native ones in the protobuf format; text formats always have them.",
    )
