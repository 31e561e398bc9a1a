# SPDX-License-Identifier: Apache-2.0
"""The format of ``render_families``; tests/contract compares it with prometheus_client."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from celery_redis_exporter.catalog import Label
from celery_redis_exporter.catalog.metric import counter, gauge, histogram, summary
from celery_redis_exporter.exposition.families import SampleSeries
from celery_redis_exporter.exposition.text import render_family, render_number
from celery_redis_exporter.records.samples import Buckets, Distribution, Family, Quantiles
from tests.support.rendering import render_families

TASK, QUEUE = Label("task", "Task."), Label("queue", "Queue.")
SENT = counter("test_sent_total", "Sent.", (TASK, QUEUE))
LEVEL = gauge("test_level", "Level.", (TASK,))
SERVED = histogram("test_served_usec", "Served.", (TASK,))
PERCENTILES = summary("test_percentiles_usec", "Percentiles.", (TASK,))
WAIT = histogram("test_wait_seconds", "Wait.", (TASK,), buckets=(0.5, 2))


def make_histogram_series(task: str) -> SampleSeries:
    """Return a series of WAIT."""
    series = SampleSeries((task,))
    series.bounds = WAIT.buckets
    return series


def test_counter_in_text() -> None:
    """In text a counter has its full name in the HELP and TYPE lines, and its labels are sorted by name."""
    expected = (
        b'# HELP test_sent_total Sent.\n# TYPE test_sent_total counter\ntest_sent_total{queue="q",task="t"} 3.0\n'
    )
    assert expected == render_families([Family(SENT, [SampleSeries(("t", "q"))], [3])], openmetrics=False)


def test_counter_in_openmetrics() -> None:
    """In OpenMetrics the family has no ``_total``, the sample has it, and the exemplar follows the value."""
    series = SampleSeries(("t", "q"))
    series.exemplar = ("id-1", 1.0, 1_753_000_000.5)
    expected = (
        b"# HELP test_sent Sent.\n# TYPE test_sent counter\n"
        b'test_sent_total{queue="q",task="t"} 3.0 # {task_id="id-1"} 1.0 1753000000.5\n'
    )
    assert expected == render_families([Family(SENT, [series], [3])], openmetrics=True)


def test_histogram() -> None:
    """Buckets are cumulative, ``le`` is sorted among the labels, and an exemplar follows its bucket only."""
    value = Distribution([1, 2, 1], 7.25, [None, ("id-2", 1.5, 10.0), None])
    expected = (
        "# HELP test_wait_seconds Wait.\n# TYPE test_wait_seconds histogram\n"
        'test_wait_seconds_bucket{le="0.5",task="t"} 1.0\n'
        'test_wait_seconds_bucket{le="2.0",task="t"} 3.0 # {task_id="id-2"} 1.5 10.0\n'
        'test_wait_seconds_bucket{le="+Inf",task="t"} 4.0\n'
        'test_wait_seconds_count{task="t"} 4.0\ntest_wait_seconds_sum{task="t"} 7.25\n'
    )
    assert expected == render_families([Family(WAIT, [make_histogram_series("t")], [value])], openmetrics=True).decode()


def test_histogram_of_a_server() -> None:
    """Bounds of a server's histogram are written as the server writes them, and may differ by series."""
    values = [Buckets((("1", 2), ("16", 3)), 4, 99), Buckets((), 0, 0)]
    expected = (
        "# HELP test_served_usec Served.\n# TYPE test_served_usec histogram\n"
        'test_served_usec_bucket{le="1",task="t"} 2.0\ntest_served_usec_bucket{le="16",task="t"} 3.0\n'
        'test_served_usec_bucket{le="+Inf",task="t"} 4.0\n'
        'test_served_usec_count{task="t"} 4.0\ntest_served_usec_sum{task="t"} 99.0\n'
        'test_served_usec_bucket{le="+Inf",task="u"} 0.0\n'
        'test_served_usec_count{task="u"} 0.0\ntest_served_usec_sum{task="u"} 0.0\n'
    )
    family = Family(SERVED, [SampleSeries(("t",)), SampleSeries(("u",))], values)
    for openmetrics in (False, True):
        assert expected == render_families([family], openmetrics=openmetrics).decode()


def test_summary_of_a_server() -> None:
    """A server's percentiles are a summary in text, and a gauge with count and sum in OpenMetrics."""
    family = Family(PERCENTILES, [SampleSeries(("t",))], [Quantiles((("99.9", 4.015),), 2, 5)])
    lines = [
        'test_percentiles_usec{quantile="99.9",task="t"} 4.015\n',
        'test_percentiles_usec_count{task="t"} 2.0\n',
        'test_percentiles_usec_sum{task="t"} 5.0\n',
    ]
    head = "# HELP test_percentiles_usec{0} Percentiles.\n# TYPE test_percentiles_usec{0} {1}\n"
    assert head.format("", "summary") + "".join(lines) == render_families([family], openmetrics=False).decode()
    heads = [head.format("", "gauge"), head.format("_count", "unknown"), head.format("_sum", "unknown")]
    expected = "".join(piece for pair in zip(heads, lines, strict=True) for piece in pair)
    assert expected == render_families([family], openmetrics=True).decode()
    absent = Family(PERCENTILES, [SampleSeries(("t",))], [None])
    assert b"" == render_families([absent], openmetrics=False) == render_families([absent], openmetrics=True)


@pytest.mark.parametrize(("openmetrics", "expected"), [(False, 'A "b" \\\\ c\\nd.'), (True, 'A \\"b\\" \\\\ c\\nd.')])
def test_help_is_escaped(openmetrics: bool, expected: str) -> None:  # noqa: FBT001 -- a parameter of the test
    """Backslashes and line breaks of a help text are escaped, and in OpenMetrics quotes too."""
    metric = gauge("test_odd", 'A "b" \\ c\nd.', (TASK,))
    text = render_families([Family(metric, [SampleSeries(("t",))], [1])], openmetrics=openmetrics).decode()
    assert f"# HELP test_odd {expected}" == text.splitlines()[0]


def test_none_is_no_sample() -> None:
    """A value of None has no line, and a family without values has no HELP and TYPE lines."""
    families = [
        Family(LEVEL, [SampleSeries(("a",)), SampleSeries(("b",))], [None, 2.0]),
        Family(SENT, [SampleSeries(("t", "q"))], [None]),
        Family(WAIT, [make_histogram_series("t")], [None]),
        Family(WAIT, [], []),
    ]
    expected = b'# HELP test_level Level.\n# TYPE test_level gauge\ntest_level{task="b"} 2.0\n'
    assert expected == render_families(families, openmetrics=False)
    assert expected == render_families(families, openmetrics=True)


def test_half_a_surrogate_does_not_cost_the_scrape() -> None:
    """A label that can't be encoded as UTF-8 is shown with a question mark, and other lines are unchanged."""
    body = render_families(
        [Family(LEVEL, [SampleSeries(("a\ud800b",)), SampleSeries(("c",))], [1, 2])], openmetrics=False
    )
    assert b'test_level{task="a?b"} 1.0\ntest_level{task="c"} 2.0\n' == body.split(b"gauge\n")[1]


def test_values_without_their_series_are_a_bug() -> None:
    """If the numbers of series and values differ, rendering fails rather than show values under wrong labels."""
    with pytest.raises(ValueError, match="zip"):
        render_families([Family(LEVEL, [SampleSeries(("a",))], [1.0, 2.0])], openmetrics=False)


def test_unchanged_values_reuse_their_text() -> None:
    """A series whose value did not change reuses the text of the last rendering."""
    number, spread = SampleSeries(("a",)), make_histogram_series("t")
    families = [Family(LEVEL, [number], [5.0]), Family(WAIT, [spread], [Distribution([1, 0, 0], 0.25)])]
    render_families(families, openmetrics=False)
    caches = number.cache, spread.cache
    render_families(families, openmetrics=True)
    assert (True, True) == (caches[0] is number.cache, caches[1] is spread.cache)


def test_formats_in_turn() -> None:
    """Only OpenMetrics has exemplars, always the newest, whatever was rendered before from the same series."""
    spread, plain = make_histogram_series("t"), make_histogram_series("t")
    seen = set()
    for number, openmetrics in enumerate([True, True, False, True, False, False, True]):
        value = Distribution([number // 2, 0, 0], 0.25, [(f"id-{number // 4}", 0.25, 1.0), None, None])
        without = value._replace(exemplars=None)
        body = render_families([Family(WAIT, [spread], [value])], openmetrics=openmetrics).decode()
        expected = render_families([Family(WAIT, [plain], [without])], openmetrics=openmetrics).decode()
        mark = f' # {{task_id="id-{number // 4}"}} 0.25 1.0'
        assert expected == body.replace(mark, "")
        assert (mark in body) == openmetrics
        seen.add(mark)
    assert 2 == len(seen)


@pytest.mark.parametrize("count", [999_999, 1_000_000, 2**53])
def test_large_counts_look_as_go_writes_them(count: int) -> None:
    """Counts from a million on have an exponent, in histograms too."""
    body = render_families(
        [Family(WAIT, [make_histogram_series("t")], [Distribution([count, 0, 0], 0.5)])], openmetrics=False
    )
    numbers = [line.rpartition(" ")[2] for line in body.decode().splitlines() if not line.startswith("#")]
    assert [*[render_number(count)] * 4, "0.5"] == numbers


def test_threads_render_the_same_series() -> None:
    """Simultaneous scrapes each show their own values, whatever another one leaves in the cache."""
    series = [SampleSeries((f"t{i}",)) for i in range(50)]
    spreads = [make_histogram_series(f"t{i}") for i in range(50)]
    together = threading.Barrier(4)

    def render(number: int) -> set[bytes]:
        families = [
            Family(LEVEL, series, [float(number)] * 50),
            Family(WAIT, spreads, [Distribution([number, 0, 0], float(number))] * 50),
        ]
        together.wait()
        return {render_families(families, openmetrics=False) for _ in range(30)}

    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(render, range(4)))
    assert [1, 1, 1, 1] == [len(body) for body in bodies]
    for number, (body,) in enumerate(bodies):
        assert {f"{number}.0".encode()} == {line.split(b" ")[1] for line in body.split(b"\n")[:-1] if line[:1] != b"#"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (True, "1.0"),
        (999_999, "999999.0"),
        (1_000_000, "1e+06"),
        (-1e6, "-1000000.0"),
        (2**64, "1.8446744073709552e+19"),
    ],
)
def test_render_number(value: float, text: str) -> None:
    """Numbers are formatted as Go formats them."""
    assert text == render_number(value)


def test_created_follows_each_series_that_has_it() -> None:
    """In OpenMetrics the created sample follows the samples of its series, without ``_total``; text has none."""
    old, young, absent = (SampleSeries((task, "q")) for task in ("old", "young", "absent"))
    old.born = absent.born = 1_753_000_000.5
    family = Family(SENT, [old, young, absent], [3, 4, None])
    lines = "".join(render_family(family, openmetrics=True, created=True)).splitlines()
    assert [
        'test_sent_total{queue="q",task="old"} 3.0',
        'test_sent_created{queue="q",task="old"} 1.7530000005e+09',
        'test_sent_total{queue="q",task="young"} 4.0',
    ] == [line for line in lines if not line.startswith("#")]
    assert "_created" not in "".join(render_family(family, openmetrics=False, created=True))


def test_exemplars_stand_at_their_buckets_and_unreadable_ones_nowhere() -> None:
    """An exemplar follows its bucket, and one with a quote, which parsers reject, is left out."""
    exemplars = [("id-1", 0.25, 1_753_000_000.5), None, ('a"b', 3.0, 1_753_000_000.5)]
    family = Family(WAIT, [make_histogram_series("t")], [Distribution([1, 1, 1], 4.0, exemplars)])
    lines = "".join(render_family(family, openmetrics=True, created=False)).splitlines()
    assert 'test_wait_seconds_bucket{le="0.5",task="t"} 1.0 # {task_id="id-1"} 0.25 1753000000.5' in lines
    assert 'test_wait_seconds_bucket{le="2.0",task="t"} 2.0' in lines
    assert 'test_wait_seconds_bucket{le="+Inf",task="t"} 3.0' in lines


def test_a_family_without_values_has_no_head() -> None:
    """A family whose series have no value is not rendered."""
    assert [] == list(render_family(Family(LEVEL, [SampleSeries(("t",))], [None]), openmetrics=True, created=True))


def test_labels_of_a_server_histogram_are_sorted_around_le() -> None:
    """In the buckets of a server a label that sorts before ``le`` is written before it."""
    metric = histogram("test_calls_usec", "Calls.", (Label("cmd", "Command."), TASK))
    family = Family(metric, [SampleSeries(("get", "t"))], [Buckets((("1.0", 2),), 5, 7.0)])
    text = "".join(render_family(family, openmetrics=False, created=False))
    assert 'test_calls_usec_bucket{cmd="get",le="1.0",task="t"} 2.0' in text.splitlines()
