# SPDX-License-Identifier: Apache-2.0
"""Any label values, rendered and read back.

Input: any bytes, as the names of a task, a queue and a worker. Never opens a socket.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample

from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, Syntax, negotiate
from celery_redis_exporter.exposition.text import exemplar_fits
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.state.series import NewSeries, Store
from tests.support.lab import EVENT_METRICS

_PROCESS = ProcessMetrics()
FORMATS = ("text/plain", "application/openmetrics-text; version=1.0.0")


def check_labels(data: bytes) -> None:
    """Check that two values, separated by a line break, are read back unchanged, in text and in OpenMetrics."""
    before, _, behind = data.decode("utf-8", "surrogateescape").partition("\n")
    check_values(before, behind)


def check_values(task: str, queue: str) -> None:
    """Check that both are read back from a counter, a gauge and a histogram, and the second also from an exemplar.

    Half surrogate pairs are read back as question marks.
    """
    store = Store(EVENT_METRICS, 10, {}, NewSeries(exemplars=True))
    store.scalar(rows.TASKS_SENT, task, queue).value = 3
    store.scalar(rows.TASKS_RUNNING, task, queue).value = 1
    store.histogram(rows.TASK_WAIT, task, queue).observe_task(0.5, queue, 1.8e9)
    shown = [family for family in store.collect() if family.metric in rows.METRICS]
    expected = {"task": _written(task), "queue": _written(queue)}
    for accept in FORMATS:
        found = list(_read(shown, accept))
        assert found
        assert all({name: sample.labels[name] for name in expected} == expected for sample in found), accept
        told = [sample.exemplar.labels["task_id"] for sample in found if sample.exemplar]
        fits = exemplar_fits((queue, 0.5, 1.8e9)) and accept is FORMATS[1]
        assert told == ([_written(queue)] if fits else []), accept


def _read(families: Iterable[Family], accept: str) -> Iterator[Sample]:
    chosen = negotiate(accept, "")
    body = b"".join(Renderer(_PROCESS).render(families, chosen.syntax)).decode()
    found: Any = read_openmetrics(f"{body}# EOF\n") if chosen.syntax is Syntax.OPENMETRICS else read_text(body)  # type: ignore[no-untyped-call]  # prometheus_client's own
    return (sample for family in found for sample in family.samples)


def _written(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
