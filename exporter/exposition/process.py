"""The process's own metrics, as every Python process gives them: ``process_*``, ``python_info``, ``python_gc_*``.

Takes nothing, gives them rendered. Reads /proc/self at each rendering, and leaves out what it can't. Which metrics
there are, their texts and what never changes come from prometheus_client's collectors, asked once; what changes is read
here, because those and ``generate_latest`` take as long for these twenty lines as everything else for two thousand.
"""

import gc
import os
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from exporter.exposition.lines import render_number, render_pairs

_UTIME, _STIME, _VIRTUAL, _RESIDENT = 11, 12, 20, 21
"""Where these stand behind the program's name in /proc/self/stat, see proc_pid_stat(5)."""
_CONSTANT = frozenset(("python_info", "process_start_time_seconds", "process_max_fds"))

Values = dict[tuple[str, str], float]
"""Values by sample name and rendered labels."""


class _Lines(NamedTuple):
    """A metric: its HELP and TYPE, and its lines but for their values, with the key of each."""

    head: str
    lines: list[tuple[str, tuple[str, str]]]


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
        self._constant: Values = {
            (sample.name, _labels(sample.labels)): sample.value
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
            found = [f"{prefix} {render_number(values[key])}\n" for prefix, key in lines if key in values]
            if found:
                chunks += [head, *found]
        return "".join(chunks)


def _prepare(metric: Metric, static: Mapping[str, str], *, openmetrics: bool) -> _Lines:
    # In text, a counter is called what its samples are called.
    name = f"{metric.name}_total" if metric.type == "counter" and not openmetrics else metric.name
    head = f"# HELP {name} {metric.documentation}\n# TYPE {name} {metric.type}\n"
    lines = [
        (sample.name + _labels({**sample.labels, **static}), (sample.name, _labels(sample.labels)))
        for sample in metric.samples
    ]
    return _Lines(head, lines)


def _labels(labels: dict[str, str]) -> str:
    return f"{{{render_pairs(labels)}}}" if labels else ""


def _read_collections() -> Values:
    values: Values = {}
    for generation, stats in enumerate(gc.get_stats()):
        labels = f'{{generation="{generation}"}}'
        values["python_gc_objects_collected_total", labels] = stats["collected"]
        values["python_gc_objects_uncollectable_total", labels] = stats["uncollectable"]
        values["python_gc_collections_total", labels] = stats["collections"]
    return values


def _read_process() -> Values:
    try:
        descriptor = os.open("/proc/self/stat", os.O_RDONLY)
        try:
            fields = os.read(descriptor, 4096).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names are enough, and read at every scrape
    except OSError:  # no /proc here, or no descriptor left
        return {}
    ticks = int(fields[_UTIME]) + int(fields[_STIME])
    return {
        ("process_virtual_memory_bytes", ""): int(fields[_VIRTUAL]),
        ("process_resident_memory_bytes", ""): int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"),
        ("process_cpu_seconds_total", ""): ticks / os.sysconf("SC_CLK_TCK"),
        ("process_open_fds", ""): descriptors,
    }
