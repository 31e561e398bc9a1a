# SPDX-License-Identifier: Apache-2.0
"""Labels that every metric carries."""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import gauge
from celery_redis_exporter.exposition import ProcessMetrics
from celery_redis_exporter.exposition.families import SampleGrouper
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.records.static_labels import StaticLabels
from tests.support.rendering import render_families

LEVEL = gauge("test_level", "A level.", (lb.TASK,))


def test_none() -> None:
    """Without any, a metric stays what it is."""
    labels = StaticLabels()
    assert LEVEL is labels.extend(LEVEL)
    assert () == labels.values


def test_extended_metrics_are_the_same_each_time() -> None:
    """A metric is extended once, so that what is kept for it is found again."""
    labels = StaticLabels({"zone": "eu", "env": 'pr"od'})
    assert labels.extend(LEVEL) is labels.extend(LEVEL)
    families = SampleGrouper(labels=labels).group([Sample(LEVEL, ("t",), 1)])
    text = render_families(families, openmetrics=False).decode()
    assert 'test_level{env="pr\\"od",task="t",zone="eu"} 1.0\n' in text


def test_the_process_carries_them_too() -> None:
    """The process's own metrics are labelled like all others, whatever the values hold."""
    text = ProcessMetrics({"env": 'a"\\\n'}).render(openmetrics=True)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    assert [] == [line for line in lines if 'env="a\\"\\\\\\n"' not in line]
