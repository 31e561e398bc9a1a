# SPDX-License-Identifier: Apache-2.0
"""The process's own metrics."""

import errno
import os
import re

import pytest
from prometheus_client import REGISTRY
from prometheus_client import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from celery_redis_exporter.exposition.process import ProcessMetrics


@pytest.mark.parametrize("openmetrics", [False, True])
def test_text(openmetrics: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """The metrics of a Python process are the same as prometheus_client writes them."""
    process = ProcessMetrics()
    generate = generate_openmetrics if openmetrics else generate_text
    expected = generate(process.registry).decode().removesuffix("# EOF\n")
    found = process.render(openmetrics=openmetrics)
    moving = re.compile(r" [0-9.e+]+$", re.MULTILINE)
    assert sorted(moving.sub("", expected).splitlines()) == sorted(moving.sub("", found).splitlines())
    assert "python_gc_collections" in found
    for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_cpu_seconds_total"):
        theirs, ours = (_value(text, name) for text in (expected, found))
        assert ours == pytest.approx(theirs, rel=0.2)
    # prometheus_client also counts the descriptor that it uses to read the list.
    assert _value(expected, "process_open_fds") - 1 == _value(found, "process_open_fds")
    assert _value(expected, "process_start_time_seconds") == _value(found, "process_start_time_seconds")


def _value(text: str, name: str) -> float:
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_descriptors_are_listed_where_the_kernel_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On kernels before 6.2, which report no count, descriptors are listed, without the one used for listing."""
    process, stat = ProcessMetrics(), os.stat
    counted = _value(process.render(openmetrics=False), "process_open_fds")
    monkeypatch.setattr(os, "stat", lambda path: os.stat_result((0,) * 10) if "/proc/" in path else stat(path))
    assert counted == _value(process.render(openmetrics=False), "process_open_fds")


def test_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process metrics that can't be read are left out, and the others are shown."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    process = ProcessMetrics()
    monkeypatch.setattr(os, "open", refuse)
    found = process.render(openmetrics=False)
    assert "process_resident_memory_bytes" not in found
    assert "python_gc_collections_total" in found


def test_the_global_registry_is_left_alone() -> None:
    """Nothing is registered in the global registry, which other libraries of the process use."""
    before = list(REGISTRY.collect())
    ProcessMetrics()
    assert [metric.name for metric in before] == [metric.name for metric in REGISTRY.collect()]
