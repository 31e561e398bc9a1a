# SPDX-License-Identifier: Apache-2.0
"""Native histograms as Prometheus 2.42 and 3.5 store them, beside classic ones and alone."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_redis_exporter.catalog import NATIVE as NATIVE_METRICS
from celery_redis_exporter.clock import SystemClock
from tests.integration.conftest import Programs
from tests.integration.native_shop import (
    FEATURE,
    NATIVE,
    NATIVE_ONLY,
    PROTOBUF,
    QUANTILES,
    RUNTIME,
    SERVERS,
    NativeShop,
    series,
)
from tests.integration.prometheus_server import Vector, is_installed
from tests.support.prometheus_messages import read_labels, read_messages

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH"),
]

NATIVE_NAMES = {metric.name for metric in NATIVE_METRICS}


def values_of(found: Vector) -> Iterator[tuple[str, float]]:
    """Yield labels, without the job, and values."""
    for labels, value in found:
        yield str(sorted({**labels, "job": ""}.items())), value


@pytest.mark.parametrize("flags", [(NATIVE,), NATIVE_ONLY], ids=["beside classic", "alone"])
@pytest.mark.parametrize("version", SERVERS)
def test_prometheus_has_the_truth(programs: Programs, version: str, flags: tuple[str, ...]) -> None:
    """Counts and sums are exact, and quantiles within the error of the schema: 9 % for 3, 19 % for 2."""
    shop = NativeShop(programs, *flags)
    server = shop.scraped(version, FEATURE, celery={})
    schemas = shop.schemas()
    assert {"proj.usual": 3, "proj.wide": 2, "proj.instant": 3} == schemas
    for task, expected in shop.runtimes.items():
        selector = f'{RUNTIME}{{task="{task}", state="success"}}'
        assert len(expected) == server.value(f"histogram_count({selector})")
        assert server.value(f"histogram_sum({selector})") == pytest.approx(sum(expected), rel=1e-9)
        for share in QUANTILES:
            found, truth = server.value(f"histogram_quantile({share}, {selector})"), shop.truth(task, share)
            assert found is not None
            assert abs(found - truth) <= max(truth * (2**2 ** -schemas[task] - 1), 1e-9), (task, share)
    every = sum(map(len, shop.runtimes.values()))
    for name in NATIVE_NAMES - {RUNTIME, "celery_exporter_event_lag_seconds"}:
        assert every == server.value(f"sum(histogram_count({name}))")
        half = server.value(f"histogram_quantile(0.5, sum({name}))")
        assert half == pytest.approx({"w": 0.5, "p": 0.25}[name[12]], rel=0.1)
    lag = shop.exporter.value("celery_exporter_event_lag_seconds_count")
    assert lag == server.value("histogram_count(celery_exporter_event_lag_seconds)")


@pytest.mark.parametrize("version", SERVERS)
def test_a_server_without_the_feature_has_classic_histograms(programs: Programs, version: str) -> None:
    """A Prometheus that does not request protobuf stores the same samples, whatever the exporter's settings."""
    shop = NativeShop(programs, *NATIVE_ONLY)
    server = shop.scraped(version, celery={})
    for task, expected in shop.runtimes.items():
        assert len(expected) == server.value(f'{RUNTIME}_count{{task="{task}", state="success"}}')
        assert len(expected) == server.value(f'{RUNTIME}_bucket{{task="{task}", state="success", le="+Inf"}}')
    assert [] == server.query(RUNTIME)


def test_protobuf_and_text_are_the_same_series(programs: Programs) -> None:
    """From protobuf Prometheus 3.5 stores the same as from OpenMetrics, and native histograms in addition."""
    shop = NativeShop(programs, NATIVE)
    text = {"scrape_protocols": ["OpenMetricsText1.0.0"]}
    server = shop.scraped("3.5", FEATURE, proto={"always_scrape_classic_histograms": True}, text=text)
    moment = SystemClock().now()
    proto, plain = (series(server, job, moment) for job in ("proto", "text"))
    native = {labels for labels in proto if dict(labels)["__name__"] in NATIVE_NAMES}
    assert NATIVE_NAMES == {dict(labels)["__name__"] for labels in native}
    assert (set(), set()) == (plain - proto, proto - native - plain)
    assert len(plain) > 300
    counted = '{__name__=~"celery_task.+_(bucket|count|sum|total)"'
    values = [dict(values_of(server.at(f'{counted}, job="{job}"}}', moment))) for job in ("proto", "text")]
    assert values[0] == values[1]
    assert len(values[0]) > 100


def test_without_classic_buckets_only_they_are_missing(programs: Programs) -> None:
    """Only the documented classic series of the four histograms are left out."""
    shop = NativeShop(programs, *NATIVE_ONLY)
    text = {"scrape_protocols": ["OpenMetricsText1.0.0"]}
    server = shop.scraped("3.5", FEATURE, proto={"always_scrape_classic_histograms": True}, text=text)
    moment = SystemClock().now()
    proto, plain = (series(server, job, moment) for job in ("proto", "text"))
    missing = {dict(labels)["__name__"] for labels in plain - proto}
    assert {f"{name}_{ending}" for name in NATIVE_NAMES for ending in ("bucket", "count", "sum")} == missing
    assert NATIVE_NAMES == {dict(labels)["__name__"] for labels in proto - plain}


@pytest.mark.parametrize("flags", [(NATIVE,), NATIVE_ONLY], ids=["beside classic", "alone"])
def test_exemplars_point_to_tasks(programs: Programs, flags: tuple[str, ...]) -> None:
    """Prometheus stores task ids as exemplars of native series, and 3.5 only for a histogram's first series."""
    shop = NativeShop(programs, *flags)
    server = shop.scraped("3.5", FEATURE, celery={})
    now = SystemClock().now()
    found = server.exemplars(RUNTIME, now - 60, now)
    assert {"proj.usual"} == {labels["task"] for labels, _ in found}
    assert all(one["task_id"].startswith("proj.usual-") for _, one in found)


def test_exemplars_of_classic_series(programs: Programs) -> None:
    """Prometheus 3.5 stores task ids for the buckets of every series if it also stores classic series."""
    shop = NativeShop(programs, NATIVE)
    server = shop.scraped("3.5", FEATURE, celery={"always_scrape_classic_histograms": True})
    now = SystemClock().now()
    found = server.exemplars(f"{RUNTIME}_bucket", now - 60, now)
    assert {"proj.usual", "proj.wide"} <= {labels["task"] for labels, _ in found}
    assert all(one["task_id"].startswith(f"{labels['task']}-") for labels, one in found)


def test_nothing_is_offered_without_the_setting(programs: Programs) -> None:
    """If the setting is off, a client that prefers protobuf receives the same text as any other client."""
    shop = NativeShop(programs, expected={"proj.usual": [0.5]})
    answer = shop.exporter.get(headers={"Accept": f"{PROTOBUF},text/plain;q=0.5"})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "celery_task_runtime_seconds_bucket" in answer.text


def test_the_body_of_one_application(programs: Programs, tmp_path: Path) -> None:
    """Protobuf bodies of several applications have each metric once, and ?application= selects one application."""
    server = programs.redis()
    file = tmp_path / "settings.yml"
    urls = {name: f"{server.url().rpartition('/')[0]}/{number}" for number, name in enumerate(("shop", "mail"))}
    rows = "".join(f"  {name}:\n    broker_url: {url}\n" for name, url in urls.items())
    file.write_text(f"metrics:\n  native_histograms: true\napplications:\n{rows}", encoding="utf-8")
    exporter = programs.exporter("--config.file", str(file))
    headers = {"Accept": PROTOBUF, "Accept-Encoding": "gzip"}
    whole = exporter.get(headers=headers)
    assert whole.headers["content-encoding"] == "gzip"
    names = [family.name for family in read_messages(gzip.decompress(whole.body))]
    assert len(set(names)) == len(names)
    assert {"celery_workers", "process_cpu_seconds_total", "redis_up"} <= set(names)
    only = exporter.get("/metrics?application=mail", headers={"Accept": PROTOBUF})
    found = {dict(read_labels(one)).get("application") for family in read_messages(only.body) for one in family.metric}
    assert {"mail"} == found
