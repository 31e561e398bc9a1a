# SPDX-License-Identifier: Apache-2.0
"""Grouping samples into families."""

from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from celery_redis_exporter.catalog import Label
from celery_redis_exporter.catalog.metric import gauge, histogram
from celery_redis_exporter.exposition.families import SampleGrouper, merge_families
from celery_redis_exporter.exposition.text import render_family
from celery_redis_exporter.records.samples import Buckets, Family, Sample
from celery_redis_exporter.records.static_labels import StaticLabels
from tests.support.rendering import render_families

REDIS = Label("redis", "Server.")
UP = gauge("test_up", "Up.", (REDIS,))
KEYS = gauge("test_keys", "Keys.", (REDIS,))
SPREAD = histogram("test_usec", "Spread.", (REDIS,))


def read_families(families: list[Family]) -> list[tuple[str, list[tuple[str, ...]], list[object]]]:
    """Reduce families to names, labels and values."""
    return [(f.metric.name, [series.labels for series in f.series], list(f.values)) for f in families]


def test_samples_of_a_metric_come_together() -> None:
    """Metrics and series keep the order of their first samples, however the servers' samples are mixed."""
    samples = [Sample(UP, ("b",), 1), Sample(KEYS, ("b",), 7), Sample(UP, ("a",), 0), Sample(KEYS, ("a",), 3)]
    expected = [("test_up", [("b",), ("a",)], [1, 0]), ("test_keys", [("b",), ("a",)], [7, 3])]
    assert expected == read_families(SampleGrouper().group(samples))


def test_a_series_given_twice_counts_once() -> None:
    """Two samples of one series result in one line with the later value, because Prometheus refuses duplicates."""
    samples = [Sample(UP, ("a",), 1), Sample(UP, ("a",), 0)]
    assert [("test_up", [("a",)], [0])] == read_families(SampleGrouper().group(samples))


def test_series_are_kept_between_scrapes() -> None:
    """The same metric and labels have the same series object, which caches the rendered text."""
    grouper = SampleGrouper()
    first = grouper.group([Sample(UP, ("a",), 1), Sample(KEYS, ("a",), 1)])
    second = grouper.group([Sample(UP, ("a",), 0), Sample(KEYS, ("b",), 1)])
    assert first[0].series[0] is second[0].series[0]
    assert first[1].series[0] is not second[1].series[0]
    assert b'test_up{redis="a"} 0.0\n' in render_families(second, openmetrics=False)


def test_the_kept_series_are_bounded() -> None:
    """Over the limit the cached series are dropped, and no series is missing from the families."""
    grouper = SampleGrouper(limit=2)
    kept = grouper.group([Sample(UP, ("a",), 1), Sample(UP, ("b",), 1)])
    again = grouper.group([Sample(UP, ("a",), 1)])
    assert kept[0].series[0] is again[0].series[0]
    over = grouper.group([Sample(UP, (name,), 1) for name in "abc"])
    assert [("a",), ("b",), ("c",)] == [series.labels for series in over[0].series]
    assert over[0].series[0] is not grouper.group([Sample(UP, ("a",), 1)])[0].series[0]


def test_threads_may_group_at_once() -> None:
    """Scrapes at the same time have complete families and share the series objects."""
    grouper = SampleGrouper()
    samples = [Sample(UP, (f"{number}",), number) for number in range(300)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(grouper.group, [samples] * 16))
    assert 1 == len({tuple(id(series) for series in families[0].series) for families in results})
    assert {300} == {len(families[0].values) for families in results}


def test_distributions_of_servers_are_grouped() -> None:
    """A server's histograms are grouped like other values, and their buckets may differ by series and by scrape."""
    grouper = SampleGrouper()
    first, second = Buckets((("1", 2),), 3, 9), Buckets((("4", 5), ("16", 6)), 7, 10)
    for values in ((first, second), (second, first)):
        (family,) = grouper.group([Sample(SPREAD, (name,), value) for name, value in zip("ab", values, strict=True)])
        assert list(values) == list(family.values)
        bounds = [["1", "+Inf"], ["4", "16", "+Inf"]] if values[0] is first else [["4", "16", "+Inf"], ["1", "+Inf"]]
        text = render_families([family], openmetrics=True).decode()
        for name, expected in zip("ab", bounds, strict=True):
            assert expected == [
                line.split('"')[1] for line in text.splitlines() if '_bucket{le="' in line and f'"{name}"' in line
            ]


def test_scrapes_leave_nothing_behind() -> None:
    """Whatever changes between two scrapes, the families are the same as those of a new grouper."""
    up, keys = Sample(UP, ("a",), 1), Sample(KEYS, ("a",), 5)
    stories = [
        [up, keys],
        [up, replace(keys, value=6)],  # a changed value
        [replace(up, value=0), replace(keys, value=7)],
        [up, Sample(KEYS, ("b",), 5)],  # a changed label
        [keys, up],  # a changed order
        [up, replace(up, value=0)],  # a duplicate, whose later value counts
        [replace(up, value=0), up],
        [up, Sample(UP, ("b",), 1), keys],
        [Sample(UP, ("b",), 0), up, keys],
        [],
        [up],
    ]
    grouper = SampleGrouper()
    for samples in stories:
        assert read_families(SampleGrouper().group(samples)) == read_families(grouper.group(samples))


def test_what_was_given_stays_as_it_was() -> None:
    """A family that one scrape renders does not change when the next scrape groups its samples."""
    grouper = SampleGrouper()
    first = grouper.group([Sample(UP, ("a",), 1), Sample(KEYS, ("a",), 1)])
    second = grouper.group([Sample(UP, ("a",), 1), Sample(KEYS, ("a",), 2)])
    assert [[1], [1]] == [list(family.values) for family in first]
    assert [[1], [2]] == [list(family.values) for family in second]


def test_families_of_several_sources_are_one_body() -> None:
    """Each metric occurs once, with the series of all sources, some of which have an additional label."""
    named = StaticLabels({"application": "shop"})
    process = SampleGrouper().group([Sample(UP, ("shared",), 1), Sample(KEYS, ("shared",), 3)])
    shop = SampleGrouper(labels=named).group([Sample(UP, ("broker",), 0)])
    merged = merge_families([process, shop])
    assert ["test_up", KEYS.name] == [family.metric.name for family in merged]
    lines = "".join(render_family(merged[0], openmetrics=False)).splitlines()
    assert ['test_up{redis="shared"} 1.0', 'test_up{application="shop",redis="broker"} 0.0'] == lines[2:]
    assert 1 == sum(line.startswith("# TYPE") for line in lines)
    assert process is merge_families([process])
