"""The process's own metrics, as every Python process gives them: ``process_*``, ``python_info``, ``python_gc_*``.

Takes nothing, gives them rendered. Reads /proc/self at each rendering, and leaves out what it can't. Which metrics
there are, their texts and what never changes come from prometheus_client's collectors, asked once; what changes is read
here, because those and ``generate_latest`` take as long for these twenty lines as everything else for two thousand.
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

from celery_redis_exporter.exposition.text import render_number, render_pairs

_DESCRIPTORS = "/proc/self/fd"
_CONSTANT = frozenset(("python_info", "process_start_time_seconds", "process_max_fds"))

_COLLECTIONS = [
    [(f'python_gc_{name}_total{{generation="{generation}"}}', key) for name, key in (
        ("objects_collected", "collected"), ("objects_uncollectable", "uncollectable"), ("collections", "collections"),
    )]
    for generation in range(3)
]  # fmt: skip
"""Samples of each generation, with what ``gc.get_stats`` calls them."""

ProcessValues = dict[str, float]
"""Values by sample name and rendered labels."""


@dataclass(slots=True)
class _Line:
    """A line but for its value, with the key of that; ``kept`` is the value of the last time and the whole line."""

    prefix: str
    key: str
    kept: tuple[float, str] | None = None

    def render(self, value: float) -> str:
        """Give the line with this value."""
        kept = self.kept
        if kept is None or kept[0] != value:
            kept = self.kept = (value, f"{self.prefix} {render_number(value)}\n")
        return kept[1]


class _Lines(NamedTuple):
    """A metric: its HELP and TYPE, and its lines."""

    head: str
    lines: list[_Line]


class ProcessMetrics:
    """The metrics of this process, registered nowhere else; ``static`` labels come on each of them."""

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
        """Render in one of the two formats, without ``# EOF``."""
        values = self._constant | _read_collections() | _read_process()
        chunks = []
        for head, lines in self._lines[openmetrics]:
            found = [line.render(values[line.key]) for line in lines if line.key in values]
            if found:
                chunks += [head, *found]
        return "".join(chunks)


def _prepare(metric: Metric, static: Mapping[str, str], *, openmetrics: bool) -> _Lines:
    # In text, a counter is called what its samples are called.
    name = f"{metric.name}_total" if metric.type == "counter" and not openmetrics else metric.name
    head = f"# HELP {name} {metric.documentation}\n# TYPE {name} {metric.type}\n"
    lines = [
        _Line(sample.name + _labels({**sample.labels, **static}), sample.name + _labels(sample.labels))
        for sample in metric.samples
    ]
    return _Lines(head, lines)


def _labels(labels: dict[str, str]) -> str:
    return f"{{{render_pairs(labels)}}}" if labels else ""


def _read_collections() -> ProcessValues:
    return {name: stats[key] for names, stats in zip(_COLLECTIONS, gc.get_stats(), strict=False) for name, key in names}


def _read_process() -> ProcessValues:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values: ProcessValues = {"process_cpu_seconds_total": usage.ru_utime + usage.ru_stime}
    try:
        # A file that the kernel has ready, unlike `stat`, for which it goes through all threads.
        descriptor = os.open("/proc/self/statm", os.O_RDONLY)
        try:
            virtual, resident = os.read(descriptor, 128).split(None, 2)[:2]
        finally:
            os.close(descriptor)
        # Since Linux 6.2 the size is the number; a list has the descriptor that it is read by on it.
        descriptors = os.stat(_DESCRIPTORS).st_size or len(os.listdir(_DESCRIPTORS)) - 1  # noqa: PTH116, PTH208 -- read at every scrape
    except OSError:  # no /proc here, or no descriptor left
        return values
    page = os.sysconf("SC_PAGE_SIZE")
    return values | {
        "process_virtual_memory_bytes": int(virtual) * page,
        "process_resident_memory_bytes": int(resident) * page,
        "process_open_fds": descriptors,
    }
