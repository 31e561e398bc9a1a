"""Whole bodies."""

import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.catalog.metric import gauge
from exporter.exposition import ProcessMetrics, Renderer, negotiate
from exporter.exposition.families import group_samples
from exporter.records import Family, Sample

UP = gauge("test_up", "Up.")


@pytest.fixture
def renderer() -> Renderer:
    """Give a renderer of its own."""
    return Renderer(ProcessMetrics())


@pytest.fixture
def families() -> list[Family]:
    """Give one family with one value."""
    return group_samples([Sample(UP, (), 1)])


def test_openmetrics(renderer: Renderer, families: list[Family]) -> None:
    """An OpenMetrics body has the families, then the process, then one ``# EOF``, and is valid."""
    body = renderer.render(families, negotiate("application/openmetrics-text", "")).decode()
    names = [metric.name for metric in text_string_to_metric_families(body)]  # type: ignore[no-untyped-call]
    assert "test_up" == names[0]
    assert "python_info" in names
    assert 1 == body.count("# EOF")


def test_text(renderer: Renderer, families: list[Family]) -> None:
    """A text body has both parts and no ``# EOF``."""
    body = renderer.render(families, negotiate("", ""))
    assert body.startswith(b"# HELP test_up Up.\n# TYPE test_up gauge\ntest_up 1.0\n# HELP ")
    assert b"\npython_info{" in body
    assert b"# EOF" not in body


def test_gzip(renderer: Renderer, families: list[Family]) -> None:
    """The body is compressed when the format says so."""
    assert b"test_up 1.0\n" in gzip.decompress(renderer.render(families, negotiate("", "gzip")))
