# SPDX-License-Identifier: Apache-2.0
"""The shipped relabelling for users of redis_exporter's /scrape endpoint, beside the real one in a Prometheus."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
import yaml

from tests.integration import prometheus_server, redis_exporters
from tests.integration.conftest import Programs
from tests.integration.processes import ROOT
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_exporters import RedisExporter
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not redis_exporters.is_installed(), reason="prometheus-redis-exporter is not on PATH"),
    pytest.mark.skipif(not prometheus_server.is_installed(), reason="prometheus is not on PATH"),
]

RELABELLING = ROOT / "deploy" / "prometheus" / "relabel-redis-exporter.yml"
OURS, NEW = "redis_exporter", "background-tasks"
"""The two jobs of the file."""
EXAMPLES = ("redis://redis.example:6379", "rediss://cache.example:6380")
"""The file's targets: broker and cache."""
SAME = ["redis_db_keys", "redis_config_maxclients", "redis_up", "redis_connected_slaves", "redis_slowlog_length"]


class Scene(NamedTuple):
    """Two servers, read by both exporters; ``targets`` are the addresses that redis_exporter reads."""

    prometheus: PrometheusServer
    targets: list[str]


def configure(port: int, redis_exporter: int, targets: list[str]) -> str:
    """Return the shipped configuration with the test's addresses, and redis_exporter's as in its README."""
    text = RELABELLING.read_text(encoding="utf-8")
    for example, target in zip(EXAMPLES, targets, strict=True):
        assert example in text
        text = text.replace(example, target)
    tree: dict[str, Any] = yaml_text.parse(text.replace("localhost:9808", f"127.0.0.1:{port}"))
    tree["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    relabelling = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": f"127.0.0.1:{redis_exporter}"},
    ]
    theirs = {"job_name": "theirs", "metrics_path": "/scrape", "static_configs": [{"targets": targets}]}
    tree["scrape_configs"].append({**theirs, "relabel_configs": relabelling})
    return yaml.safe_dump(tree)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Yield two servers with one key and two, a redis_exporter and an exporter for both."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("relabelled"), ending)
        broker, cache = programs.redis(), programs.redis()
        for server, keys in ((broker, 1), (cache, 2)):
            for number in range(keys):
                server.command("SET", f"key{number}", "value", db=5)
        servers = f'{{"cache": {{"url": "{cache.url()}"}}}}'
        exporter = programs.listening(broker, "--redis.servers", servers, "--celery.inspect-interval", "0")
        targets = [f"redis://127.0.0.1:{server.port}" for server in (broker, cache)]
        theirs = RedisExporter(programs, broker.port)
        yield Scene(programs.prometheus(configure(exporter.port, theirs.port, targets)), targets)


@pytest.mark.parametrize("name", SAME)
def test_instance_is_the_target_that_it_was(scene: Scene, name: str) -> None:
    """A query by instance returns the same series of that server, with the same values."""

    def series(job: str, target: str) -> dict[frozenset[tuple[str, str]], float]:
        found = scene.prometheus.query(f'{name}{{job="{job}", instance="{target}"}}')
        return {frozenset(pair for pair in labels.items() if pair[0] != "job"): value for labels, value in found}

    def agreed() -> bool:
        for target, server in zip(scene.targets, ("broker", "cache"), strict=True):
            theirs = series("theirs", target)
            assert theirs
            assert {labels | {("redis", server)}: value for labels, value in theirs.items()} == series(OURS, target)
        return True

    eventually(agreed)


def test_the_two_servers_are_told_apart(scene: Scene) -> None:
    """The values compared are those of the two servers."""
    keys = f'redis_db_keys{{job="{OURS}", db="db5"}}'
    found = eventually(lambda: scene.prometheus.query(keys))
    assert dict(zip(scene.targets, (1, 2), strict=True)) == {labels["instance"]: value for labels, value in found}


def test_each_metric_is_in_one_job(scene: Scene) -> None:
    """The old job has only the Redis metrics, and the new job only those of Celery."""
    count = 'count({job="%s", __name__=~"%s_.+"})'
    eventually(lambda: scene.prometheus.value(count % (NEW, "celery")))
    assert scene.prometheus.value(count % (OURS, "redis"))
    assert scene.prometheus.value(count % (NEW, "redis")) is None
    assert scene.prometheus.value(count % (OURS, "celery")) is None
