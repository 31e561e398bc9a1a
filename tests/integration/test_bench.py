# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run and count correctly. Their measurements are not checked here."""

import base64
import json

import pytest

from tests.bench import __main__ as bench
from tests.bench.load import publish
from tests.bench.plots import Plot, fit_exponent, render_plot
from tests.bench.streams import Message, Shape, Stream, make_stream
from tests.bench.table import README, replace_sections
from tests.integration.conftest import Programs
from tests.integration.processes import system_program
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
NEEDS_PYPI = {"celery-exporter", "flower"}
TITLES = {
    "bare-loop": "against the bare loop",
    "memory": "resident memory after",
    "scrapes": "against prometheus-redis-exporter",
    "rendering": "against generate_latest",
    "pauses": "longest pause of event folding",
    "busy-scrapes": "scrape p99 at",
    "round-trips": "Redis round trips per scrape",
    "starts": "start to first successful scrape",
    "analysis": "analyze --duty=1",
    "idle": "idle CPU",
    "growth": "exponent of the cost",
    "limit": "Highest rate",
    "bounds": "the bounds on hostile input",
    "native-histograms": "native ones only, gzip",
    "fleet": "native, protobuf",
}
"""A text in the table of each benchmark that does not depend on the measurements."""


def test_every_benchmark_has_its_place() -> None:
    """Each benchmark has a row here or needs PyPI, and README has a section for each benchmark with a separate text."""
    assert bench.BENCHMARKS.keys() - NEEDS_PYPI == TITLES.keys()
    names = ("goals", "scrapes", "rendering", "pauses", "busy-scrapes", "round-trips", "growth", "limit", "fleet")
    replaced = replace_sections(README.read_text(encoding="utf-8"), {name: f"<{name}>" for name in names})
    assert [] == [name for name in names if f"\n<{name}>\n" not in replaced]


@pytest.mark.parametrize("name", TITLES)
def test_benchmark_runs_and_counts_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run of each benchmark ends with correct counts, and its table names the measured quantity."""
    other = "prometheus-redis-exporter"
    if name == "scrapes" and system_program(other) == other:
        pytest.skip(f"{other} is not on PATH")
    bench.main(["--quick", "--only", name])
    assert TITLES[name] in capsys.readouterr().out


def bodies(messages: list[Message]) -> list[bytes]:
    """Return the events of messages as JSON."""
    return [base64.b64decode(json.loads(message.payload)["body"]) for message in messages]


def test_streams_are_repeatable() -> None:
    """The same shape always produces the same events, except for their timestamps."""
    shape = Shape(tasks=300, failures=0.2, tasks_per_batch=3)
    first, second = (
        [{**event, "timestamp": 0} for body in bodies(list(make_stream(shape))) for event in _events(body)]
        for _ in range(2)
    )
    assert shape.events == len(first)
    assert first == second


def _events(body: bytes) -> list[dict[str, object]]:
    found = json.loads(body)
    return found if isinstance(found, list) else [found]


def test_streams_tell_what_they_sent() -> None:
    """The counts of failures and started tasks that a stream reports equal those in its messages."""
    stream = Stream(Shape(tasks=300, workers=4, failures=0.2))
    texts = bodies(stream.render(300))
    assert stream.failed == sum(text.count(b'"task-failed"') for text in texts)
    assert 300 == stream.started == sum(json.loads(body)["processed"] for body in bodies(stream.beat()))


def test_load_reaches_its_subscribers(programs: Programs) -> None:
    """Published events are counted as that many events by the exporter."""
    server = programs.redis()
    exporter = programs.listening(server)
    stream = publish(server.port, Shape(tasks=400, workers=2), beat=True)
    assert (400, 2) == (stream.sent, stream.beats)
    eventually(lambda: exporter.value("celery_exporter_events_total", type="worker-heartbeat") == 2)
    assert 400 == exporter.value("celery_exporter_events_total", type="task-started")


def test_plots_are_small_and_their_exponent_is_that_of_the_points() -> None:
    """Points of y = 3 x^2 have the exponent 2, and their plot has a circle for each point in less than 10 kB."""
    points = [(float(x), 3.0 * x * x) for x in (1, 10, 100, 1000)]
    assert 2 == pytest.approx(fit_exponent(points))
    drawn = render_plot(Plot("Squares", "x", "y", points))
    assert 4 == drawn.count("<circle")
    assert len(drawn) < 10_000


def test_plots_whose_axis_ends_just_below_a_power_of_ten() -> None:
    """Values close to each other are drawn on an axis of one decade, even if the end of the axis is rounded down."""
    drawn = render_plot(Plot("Rates", "x", "y", [(1.0, 44_315.0), (10.0, 70_547.0)]))
    assert 2 == drawn.count("<circle")
    assert all(f">{label}</text>" in drawn for label in ("10k", "20k", "50k", "100k"))
