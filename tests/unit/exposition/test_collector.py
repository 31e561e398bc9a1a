# SPDX-License-Identifier: Apache-2.0
"""The collector in another program's registry; tests/contract compares its values."""

import pytest
from prometheus_client.registry import CollectorRegistry

from celery_redis_exporter.catalog import CATALOG, Kind, Metric
from celery_redis_exporter.catalog.metric import counter, gauge, histogram, summary
from celery_redis_exporter.exposition.collector import RegistryCollector
from celery_redis_exporter.exposition.families import SampleSeries
from celery_redis_exporter.records.samples import Buckets, Distribution, Exemplar, Family, Quantiles, Value

COUNTER = counter("test_total", "Counter.")
PLAIN = counter("test_plain", "Counter without the ending.")
GAUGE = gauge("test_level", "Gauge.")
HISTOGRAM = histogram("test_seconds", "Histogram.", buckets=(1.0,))
SUMMARY = summary("test_usec", "Summary.")


def refuse() -> list[Family]:
    """Fail, because nothing may be collected."""
    pytest.fail("registering must not collect")


def test_registering_does_not_collect() -> None:
    """A registry reads the names from the catalogue without collecting, and refuses a second collector's names."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(RegistryCollector(refuse))
    with pytest.raises(ValueError, match="celery_tasks"):
        registry.register(RegistryCollector(refuse))


def test_describe_gives_the_whole_catalogue() -> None:
    """Every metric of the catalogue is described once, a summary by its parts, without samples."""
    described = list(RegistryCollector(refuse).describe())
    summaries = sum(metric.kind is Kind.SUMMARY for metric in CATALOG.values())
    assert len(CATALOG) + 2 * summaries == len(described)
    assert [] == [sample for metric in described for sample in metric.samples]


def test_types() -> None:
    """Kinds are those of prometheus_client, except for counters without ``_total`` and the parts of a summary."""
    described = RegistryCollector(refuse, (COUNTER, PLAIN, GAUGE, HISTOGRAM, SUMMARY)).describe()
    expected = [
        ("test", "counter"), ("test_plain", "unknown"), ("test_level", "gauge"), ("test_seconds", "histogram"),
        ("test_usec", "gauge"), ("test_usec_count", "unknown"), ("test_usec_sum", "unknown"),
    ]  # fmt: skip
    assert expected == [(metric.name, metric.type) for metric in described]


def test_collect_reads_anew_and_leaves_out_what_is_absent() -> None:
    """Each collection reads the families, and a family without a value is not returned."""
    level = iter([1.0, None, 2.0])
    spread = SampleSeries(())
    spread.bounds = (1.0,)
    collector = RegistryCollector(
        lambda: [
            Family(GAUGE, [SampleSeries(())], [next(level)]),
            Family(HISTOGRAM, [spread], [Distribution([1, 1], 3.0)]),
        ]
    )
    samples = [[(sample.name, sample.value) for m in collector.collect() for sample in m.samples] for _ in range(3)]
    rest = [
        ("test_seconds_bucket", 1),
        ("test_seconds_bucket", 2),
        ("test_seconds_count", 2),
        ("test_seconds_sum", 3.0),
    ]
    assert [[("test_level", 1.0), *rest], rest, [("test_level", 2.0), *rest]] == samples


def collected(metric: Metric, series: SampleSeries, value: Value, *, created: bool = False) -> list[tuple[str, float]]:
    """Return names and values of the samples of one series."""
    collector = RegistryCollector(lambda: [Family(metric, [series], [value])], (), created=created)
    return [(sample.name, sample.value) for family in collector.collect() for sample in family.samples]


def test_distributions_of_servers() -> None:
    """Quantiles become the parts of a summary, and a server's buckets become a histogram that ends with +Inf."""
    quantiles = Quantiles((("0.5", 3.0), ("0.99", 9.0)), 4, 20.0)
    expected = [("test_usec", 3.0), ("test_usec", 9.0), ("test_usec_count", 4), ("test_usec_sum", 20.0)]
    assert expected == collected(SUMMARY, SampleSeries(()), quantiles)
    expected = [
        ("test_seconds_bucket", 2),
        ("test_seconds_bucket", 5),
        ("test_seconds_count", 5),
        ("test_seconds_sum", 7.0),
    ]
    assert expected == collected(HISTOGRAM, SampleSeries(()), Buckets((("1.0", 2),), 5, 7.0))


@pytest.mark.parametrize(
    ("exemplar", "shown"), [(("id-1", 1.0, 2.5), {"task_id": "id-1"}), (('a"b', 1.0, 2.5), None), (None, None)]
)
def test_exemplars(exemplar: Exemplar | None, shown: dict[str, str] | None) -> None:
    """Counters and buckets have the exemplar of their series unless parsers reject it."""
    series, spread = SampleSeries(()), SampleSeries(())
    series.exemplar = exemplar
    spread.bounds = (1.0,)
    families = [
        Family(COUNTER, [series], [3.0]),
        Family(HISTOGRAM, [spread], [Distribution([1, 1], 3.0, [exemplar, None])]),
    ]
    counted, buckets = RegistryCollector(lambda: families, ()).collect()
    found = [counted.samples[0].exemplar, buckets.samples[0].exemplar]
    assert [shown, shown] == [one and one.labels for one in found]
    assert buckets.samples[1].exemplar is None


def test_created_is_there_on_request() -> None:
    """A series has a created sample if created samples are enabled and its time is known."""
    born, unknown = SampleSeries(()), SampleSeries(())
    born.born = 1_753_000_000.5
    assert [("test_total", 3.0), ("test_created", 1_753_000_000.5)] == collected(COUNTER, born, 3.0, created=True)
    assert [("test_total", 3.0)] == collected(COUNTER, born, 3.0) == collected(COUNTER, unknown, 3.0, created=True)
