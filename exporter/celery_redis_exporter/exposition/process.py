# SPDX-License-Identifier: Apache-2.0
"""Render the process's own metrics, as every Python process has them: ``process_*``, ``python_info``, ``python_gc_*``.

/proc/self is read at each rendering, and what can't be read is left out. The names, help texts and constant values come
from prometheus_client's collectors, which run once. Changing values are read here, because those collectors and
``generate_latest`` take as long for these twenty lines as everything else takes for two thousand.
"""

import gc
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from celery_redis_exporter.exposition import wire
from celery_redis_exporter.exposition.protobuf import encode_number
from celery_redis_exporter.exposition.text import render_number, render_pairs
from celery_redis_exporter.exposition.wire import MetricType

_DESCRIPTORS = "/proc/self/fd"
_CONSTANT = frozenset(("python_info", "process_start_time_seconds", "process_max_fds"))

_COLLECTIONS = [
    [(f'python_gc_{name}_total{{generation="{generation}"}}', key) for name, key in (
        ("objects_collected", "collected"), ("objects_uncollectable", "uncollectable"), ("collections", "collections"),
    )]
    for generation in range(3)
]  # fmt: skip
"""The garbage collector's samples by generation, with their keys in ``gc.get_stats``."""

ProcessValues = dict[str, float]
"""Values by sample name and rendered labels."""


@dataclass(slots=True)
class _Line:
    """A line without its value, with the key of that value. ``kept`` is the last value and the whole line.

    ``packed`` are its labels in protobuf.
    """

    prefix: str
    key: str
    packed: bytes
    kept: tuple[float, str] | None = None

    def render(self, value: float) -> str:
        """Return the line with this value."""
        kept = self.kept
        if kept is None or kept[0] != value:
            kept = self.kept = (value, f"{self.prefix} {render_number(value)}\n")
        return kept[1]


class _Lines(NamedTuple):
    """A metric: its HELP and TYPE as text, and its lines. ``name`` and ``kind`` are those of text 0.0.4."""

    head: str
    lines: list[_Line]
    name: str
    text: str
    kind: str


class ProcessMetrics:
    """The metrics of this process, which are registered nowhere else. Each has the labels ``static``."""

    def __init__(self, static: Mapping[str, str] | None = None) -> None:
        self.registry = CollectorRegistry()
        collectors = (
            ProcessCollector(registry=self.registry),
            GCCollector(registry=self.registry),
            PlatformCollector(registry=self.registry),
        )
        metrics = [metric for collector in collectors for metric in collector.collect()]
        self._constant: ProcessValues = {
            sample.name + _labels(sample.labels): sample.value
            for metric in metrics
            for sample in metric.samples
            if sample.name in _CONSTANT
        }
        self._lines = {
            openmetrics: [_prepare(metric, static or {}, openmetrics=openmetrics) for metric in metrics]
            for openmetrics in (False, True)
        }

    def render(self, *, openmetrics: bool) -> str:
        """Return the text in one of the two formats, without ``# EOF``."""
        values = self._read()
        chunks = []
        for head, lines, *_ in self._lines[openmetrics]:
            found = [line.render(values[line.key]) for line in lines if line.key in values]
            if found:
                chunks += [head, *found]
        return "".join(chunks)

    def encode(self) -> bytes:
        """Return the metrics in the protobuf format."""
        values = self._read()
        pieces = []
        for _, lines, name, text, kind in self._lines[False]:
            type_ = MetricType[kind.upper()]
            found = [encode_number(type_, line.packed, values[line.key]) for line in lines if line.key in values]
            if found:
                pieces += wire.family(name, text, type_, found)
        return b"".join(pieces)

    def _read(self) -> ProcessValues:
        return self._constant | _read_collections() | _read_process()


def _prepare(metric: Metric, static: Mapping[str, str], *, openmetrics: bool) -> _Lines:
    # In the text format, the name of a counter is that of its samples.
    name = f"{metric.name}_total" if metric.type == "counter" and not openmetrics else metric.name
    head = f"# HELP {name} {metric.documentation}\n# TYPE {name} {metric.type}\n"
    lines = []
    for sample in metric.samples:
        labels = {**sample.labels, **static}
        packed = wire.labels(wire.METRIC_LABEL, sorted(labels.items()))
        lines.append(_Line(sample.name + _labels(labels), sample.name + _labels(sample.labels), packed))
    return _Lines(head, lines, name, metric.documentation, metric.type)


def _labels(labels: dict[str, str]) -> str:
    return f"{{{render_pairs(labels)}}}" if labels else ""


def _read_collections() -> ProcessValues:
    return {name: stats[key] for names, stats in zip(_COLLECTIONS, gc.get_stats(), strict=False) for name, key in names}


def _read_process() -> ProcessValues:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values: ProcessValues = {"process_cpu_seconds_total": usage.ru_utime + usage.ru_stime}
    try:
        # Reading this file is fast; for `stat` the kernel goes through all threads.
        descriptor = os.open("/proc/self/statm", os.O_RDONLY)
        try:
            virtual, resident = os.read(descriptor, 128).split(None, 2)[:2]
        finally:
            os.close(descriptor)
        # Since Linux 6.2 the size is the number. Listing includes the descriptor that the list is read with.
        descriptors = os.stat(_DESCRIPTORS).st_size or len(os.listdir(_DESCRIPTORS)) - 1  # noqa: PTH116, PTH208 -- read at every scrape
    except OSError:  # no /proc here, or no descriptor left
        return values
    page = os.sysconf("SC_PAGE_SIZE")
    return values | {
        "process_virtual_memory_bytes": int(virtual) * page,
        "process_resident_memory_bytes": int(resident) * page,
        "process_open_fds": descriptors,
    }
