"""The process's own metrics."""

from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition.process import ProcessMetrics


def test_names() -> None:
    """The metrics that every Python process gives are there, in both formats."""
    process = ProcessMetrics()
    text = {metric.name for metric in parse_text(process.render(openmetrics=False).decode())}
    openmetrics = process.render(openmetrics=True).decode()
    parsed = parse_openmetrics(openmetrics + "# EOF\n")  # type: ignore[no-untyped-call]
    assert text == {metric.name for metric in parsed}
    assert {"python_info", "python_gc_collections"} <= text
    assert "# EOF" not in openmetrics


def test_the_global_registry_is_left_alone() -> None:
    """Nothing is registered where another library of the process could stumble over it."""
    before = list(REGISTRY.collect())
    ProcessMetrics()
    assert [metric.name for metric in before] == [metric.name for metric in REGISTRY.collect()]
