# SPDX-License-Identifier: Apache-2.0
"""The cost of the dashboards for a Prometheus that has 200 tasks, 50 workers and 5 queues."""

from collections.abc import Iterator

import pytest

from tests.integration.dashboard_costs import costs_of_a_day, costs_of_an_hour, large_installation
from tests.integration.prometheus_server import PrometheusServer
from tests.support.dashboards import boards, panels

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

MILLION = 1_000_000
OF_A_REFRESH = {"celery-task": 10 * MILLION, "celery-overview": 5 * MILLION}
"""The maximum number of samples that a refresh reads over an hour."""
OF_ANY_REFRESH = 5 * MILLION
OF_A_QUERY = 5 * MILLION
"""The maximum number of samples that a query reads over a day."""
each_board = pytest.mark.parametrize("name", list(boards()))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, float]]:
    """Yield a Prometheus with an hour of a large installation, and the end of the hour."""
    with large_installation(tmp_path_factory.mktemp("large")) as found:
        yield found


@each_board
def test_a_refresh_is_cheap(large: tuple[PrometheusServer, float], name: str) -> None:
    """A refresh of a dashboard's open panels reads at most the allowed number of samples over an hour."""
    found = costs_of_an_hour(*large, boards()[name])
    assert sum(cost.samples for cost in found) < OF_A_REFRESH.get(name, OF_ANY_REFRESH), sorted(
        found, key=lambda cost: -cost.samples
    )[:5]


@each_board
def test_no_query_is_expensive(large: tuple[PrometheusServer, float], name: str) -> None:
    """No query of a dashboard, including its closed rows, reads more than the allowed number of samples over a day."""
    found = costs_of_a_day(*large, panels(boards()[name]))
    assert [] == [cost for cost in found if cost.samples > OF_A_QUERY]
