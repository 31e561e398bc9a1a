# SPDX-License-Identifier: Apache-2.0
"""Dashboards of a Prometheus that several applications and other exporters share, with generated samples."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from celery_redis_exporter.clock import SystemClock
from tests.integration.dashboard_data import create_blocks, record
from tests.integration.prometheus_server import PrometheusServer
from tests.support.dashboards import Target, boards, fill_times, substitute, targets

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

SCRAPE, SECONDS = 15, 1800
CONSTANT = {
    'celery_queue_length{job="a",instance="a:1",queue="celery"}': 5,
    'celery_queue_consumers{job="a",instance="a:1",queue="celery"}': 0,
    'celery_queue_length{job="b",instance="b:1",queue="celery"}': 0,
    'celery_queue_consumers{job="b",instance="b:1",queue="celery"}': 2,
    'celery_worker_up{job="a",instance="a:1",worker="celery@host"}': 1,
    'celery_worker_up{job="b",instance="b:1",worker="celery@host"}': 0,
    'redis_up{job="a",instance="a:1",redis="broker"}': 1,
    'redis_up{job="redis",instance="redis:9121"}': 0,
}
"""Two applications with a queue and a worker of the same name, and a server of redis_exporter that is down."""
GROWING = [
    f'celery_tasks_total{{job="a",instance="{instance}",task="t",queue="celery",state="success"}}'
    for instance in ("a:1", "a:2")
]
"""Two exporters of one application that both count one execution per second."""


class Shared:
    """The Prometheus, and the time of its last samples."""

    def __init__(self, server: PrometheusServer, end: float) -> None:
        self._server, self._end = server, end

    def show(self, board: str, panel: str) -> float:
        """Return the value of a panel's first query at the end."""
        target = next(row for row in targets(boards()[board]) if row.panel == panel)
        ((_, value),) = self._server.at(self._fill(target), self._end)
        return value

    def _fill(self, target: Target) -> str:
        return fill_times(substitute(target.expr, {}), 60, SCRAPE, SECONDS)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Yield a Prometheus with half an hour of samples, and with the series that the rules record from them."""
    folder: Path = tmp_path_factory.mktemp("shared")
    end = SystemClock().now() // 60 * 60
    times = range(int(end) - SECONDS, int(end) + 1, SCRAPE)
    lines = [f"{series} {value} {time}" for series, value in CONSTANT.items() for time in times]
    lines += [f"{series} {time - times[0]} {time}" for series in GROWING for time in times]
    source = folder / "samples.openmetrics"
    source.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    create_blocks("openmetrics", str(source), str(folder / "tsdb"))
    config = yaml.safe_dump({"global": {"scrape_interval": f"{SCRAPE}s"}})
    record(folder, config, [(end - SECONDS, end)])
    server = PrometheusServer(folder, config)
    try:
        yield Shared(server, end)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("board", "panel", "value"),
    [
        ("celery-queues", "Unattended", 1),
        ("celery-workers", "Online", 1),
        ("celery-workers", "Lost", 1),
        ("redis", "Answering now", 1),
    ],
)
def test_applications_are_kept_apart(shared: Shared, board: str, panel: str, value: float) -> None:
    """Panels keep applications with the same names apart, and leave out the series of redis_exporter."""
    assert value == shared.show(board, panel)


def test_recorded_rates_count_a_pair_once(shared: Shared) -> None:
    """If two exporters of one application count one execution per second each, the recorded rate is one."""
    assert 1 == pytest.approx(shared.show("celery-overview", "Executions by outcome"))
