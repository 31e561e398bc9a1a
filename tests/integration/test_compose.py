# SPDX-License-Identifier: Apache-2.0
"""The compose file's services, run as processes."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.deployment import compose
from tests.integration.compose_stack import ComposeStack
from tests.integration.processes import ROOT
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
PASSWORD = (compose.FOLDER / "redis-password.example").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """Yield all services except Grafana."""
    with ExitStack() as ending:
        yield ComposeStack(tmp_path_factory.mktemp("compose"), ending)


def ask(url: str) -> Any:  # noqa: ANN401 -- JSON is anything
    """Request a JSON document."""
    with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 -- a server of this test
        return json.load(reply)


def values(composed: ComposeStack, expression: str) -> dict[str, float]:
    """Query Prometheus. Return the values by the values of their labels."""
    query = urllib.parse.urlencode({"query": expression})
    result = ask(f"{composed.url('prometheus')}/api/v1/query?{query}")["data"]["result"]
    return {",".join(series["metric"].values()): float(series["value"][1]) for series in result}


def test_every_target_is_up(composed: ComposeStack) -> None:
    """Prometheus scrapes every target in its configuration, and all of them are up."""
    eventually(lambda: {"celery": 1, "prometheus": 1} == values(composed, "max by (job) (up)"))


def test_both_workers_and_beat_are_seen(composed: ComposeStack) -> None:
    """The sample's workers are up, and tasks from customers and beat are executed in their queues."""
    eventually(lambda: [1, 1] == list(values(composed, "celery_worker_up").values()))
    done = 'sum by (task, queue) (celery_tasks_total{state="success"}) > 0'
    wanted = {"default,shop.sync_stock", "payments,shop.charge_card"}
    eventually(lambda: wanted <= set(values(composed, done)))


def test_the_rules_are_loaded(composed: ComposeStack) -> None:
    """Every file of alerts/ is loaded, and none of its rules fails."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "alerts").glob("*.yml")]
    groups = [group for text in texts for group in yaml_text.parse(text)["groups"]]
    expected = {group["name"]: len(group["rules"]) for group in groups}

    def loaded() -> bool:
        found = ask(f"{composed.url('prometheus')}/api/v1/rules")["data"]["groups"]
        assert expected == {group["name"]: len(group["rules"]) for group in found}
        return {"ok"} == {rule["health"] for group in found for rule in group["rules"]}

    eventually(loaded)


def test_alerts_reach_alertmanager(composed: ComposeStack) -> None:
    """The watchdog arrives at the receiver of the example's route."""

    def arrived() -> bool:
        alerts = ask(f"{composed.url('alertmanager')}/api/v2/alerts")
        return "dead-man" in [
            receiver["name"]
            for alert in alerts
            if alert["labels"]["alertname"] == "CeleryWatchdog"
            for receiver in alert["receivers"]
        ]

    eventually(arrived)


def test_exemplars_are_kept(composed: ComposeStack) -> None:
    """Prometheus stores the task ids of runtimes as exemplars."""
    query = urllib.parse.urlencode({"query": "celery_task_runtime_seconds_bucket", "start": 0, "end": 4102444800})
    found = eventually(lambda: ask(f"{composed.url('prometheus')}/api/v1/query_exemplars?{query}")["data"])
    assert {"task_id"} == set(found[0]["exemplars"][0]["labels"])


def test_redis_asks_for_the_password(composed: ComposeStack) -> None:
    """Redis denies commands without the password, and no command line contains the password."""
    client = redis.Redis(port=composed.ports["redis"], retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.AuthenticationError):
        client.ping()
    client.close()
    lines = [Path(f"/proc/{process.pid}/cmdline").read_text(encoding="utf-8") for process in composed.processes]
    assert [] == [line for line in lines if PASSWORD in line]


def test_all_services_still_run(composed: ComposeStack) -> None:
    """No service has ended by itself."""
    assert [] == [process.tail() for process in composed.processes if process.exit_code is not None]
