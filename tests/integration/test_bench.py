"""The benchmarks still run, and count right; what they measure is not judged here."""

import base64
import json

import pytest

from tests.bench import events, rendering, scrapes
from tests.bench.streams import Shape, count_failures, make_stream
from tests.integration.processes import system_program

pytestmark = pytest.mark.servers


def test_events_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """A small stream is counted whole by the exporter and by the bare loop, and the table names both."""
    events.main(["--tasks", "500", "--runs", "1", "bare", "exporter"])
    table = capsys.readouterr().out
    assert "| bare |" in table
    assert "| exporter |" in table


def test_rendering_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """A small exposition is rendered by both, in both formats."""
    rendering.main(["--series", "500", "--runs", "1"])
    table = capsys.readouterr().out
    assert 3 == table.count("| OpenMetrics |")


def test_streams_are_repeatable() -> None:
    """The same shape gives the same events, and its failures can be told beforehand."""
    shape = Shape(tasks=300, failures=0.2)
    channels = [[message.channel for message in make_stream(shape)] for _ in range(2)]
    assert channels[0] == channels[1]
    bodies = [base64.b64decode(json.loads(message.payload)["body"]) for message in make_stream(shape)]
    assert count_failures(shape) == sum(b"task-failed" in body for body in bodies)


@pytest.mark.skipif(
    system_program("prometheus-redis-exporter") == "prometheus-redis-exporter",
    reason="prometheus-redis-exporter is not on PATH",
)
def test_scrapes_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """Both exporters are scraped in turn, and the ratio of their medians is told."""
    scrapes.main(["--runs", "5"])
    assert "ratio of the medians" in capsys.readouterr().out
