# SPDX-License-Identifier: Apache-2.0
"""Rendering of whole bodies."""

import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import counter, gauge, histogram
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, negotiate
from celery_redis_exporter.exposition.families import SampleGrouper, SampleSeries
from celery_redis_exporter.records.samples import Distribution, Family, Sample

UP = gauge("test_up", "Up.")
LEVEL = gauge("test_level", "Level.", (lb.TASK,))
WAIT = histogram("test_wait_seconds", "Wait.", (lb.TASK,), buckets=(1.0,))
DONE = counter("test_done_total", "Done.", (lb.TASK,))


@pytest.fixture
def renderer() -> Renderer:
    """Return a new renderer."""
    return Renderer(ProcessMetrics())


@pytest.fixture
def families() -> list[Family]:
    """Return one family with one value."""
    return SampleGrouper().group([Sample(UP, (), 1)])


def render(renderer: Renderer, families: list[Family], accept: str = "", accept_encoding: str = "") -> bytes:
    """Render a whole body of one part."""
    reply_format = negotiate(accept, accept_encoding)
    process = renderer.render_process(reply_format.syntax)
    return renderer.finish(renderer.render(families, reply_format.syntax), process, reply_format)


def test_openmetrics(renderer: Renderer, families: list[Family]) -> None:
    """An OpenMetrics body is valid: the families, then the process metrics, then one ``# EOF``."""
    body = render(renderer, families, "application/openmetrics-text").decode()
    names = [metric.name for metric in text_string_to_metric_families(body)]  # type: ignore[no-untyped-call]
    assert "test_up" == names[0]
    assert "python_info" in names
    assert 1 == body.count("# EOF")


def test_text(renderer: Renderer, families: list[Family]) -> None:
    """A text body has both parts and no ``# EOF``."""
    body = render(renderer, families)
    assert body.startswith(b"# HELP test_up Up.\n# TYPE test_up gauge\ntest_up 1.0\n# HELP ")
    assert b"\npython_info{" in body
    assert b"# EOF" not in body


def test_gzip(renderer: Renderer, families: list[Family]) -> None:
    """The body is compressed if the format requires it."""
    assert b"test_up 1.0\n" in gzip.decompress(render(renderer, families, accept_encoding="gzip"))


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_a_renderer_keeps_no_text(renderer: Renderer, accept: str) -> None:
    """Whatever changes between two bodies, each is the same as that of a new renderer."""
    one, other = SampleSeries(("a",)), SampleSeries(("b",))
    stories: list[tuple[list[SampleSeries], list[float | None]]] = [
        ([one], [1.0]),
        ([one], [1.0]),
        ([one], [2.0]),
        ([other], [2.0]),
        ([one, other], [2.0, None]),
        ([], []),
    ]
    for series, values in stories:
        families = [Family(LEVEL, series, values)]
        fresh = render(Renderer(ProcessMetrics()), families, accept)
        kept = render(renderer, families, accept)
        pick = [line for line in kept.splitlines() if b"test_level" in line]
        assert [line for line in fresh.splitlines() if b"test_level" in line] == pick


def test_a_new_exemplar_shows(renderer: Renderer) -> None:
    """A new exemplar is rendered even if the values of its counter or histogram did not change."""
    counter_series, spread = SampleSeries(("a",)), SampleSeries(("a",))
    spread.bounds = (1.0,)
    for task_id in ("first", "second", "second", "third"):
        exemplar = (task_id, 1.0, 1.0)
        counter_series.exemplar = exemplar
        families = [
            Family(DONE, [counter_series], [1.0]),
            Family(WAIT, [spread], [Distribution([1, 0], 0.5, [exemplar, None])]),
        ]
        body = render(renderer, families, "application/openmetrics-text")
        assert 2 == body.count(f'task_id="{task_id}"'.encode())
        assert 2 == body.count(b"task_id=")
