# SPDX-License-Identifier: Apache-2.0
"""A small fleet and a few workers; ``python -m tests.scale`` runs large ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.integration.conftest import Programs
from tests.scale import Seen, Size, simulate_fleet, simulate_workers

pytestmark = pytest.mark.servers

SMALL = Size(applications=4, real=1, workers=50, seconds=2.0, interval=1.0)
Simulated = tuple[tuple[Seen, int], tuple[Seen, list[float], int]]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Yield the results of both simulations, which mostly wait for Prometheus."""
    with ExitStack() as ending, ThreadPoolExecutor() as pool:
        fleet, workers = (Programs(tmp_path_factory.mktemp(name), ending) for name in ("fleet", "workers"))
        first, second = pool.submit(simulate_fleet, fleet, SMALL), pool.submit(simulate_workers, workers, SMALL)
        yield first.result(50), second.result(50)


def test_a_small_fleet(simulated: Simulated) -> None:
    """Real and recorded applications are scraped alike, with the same number of series each, and no alert fires."""
    (seen, lines), _ = simulated
    assert SMALL.applications == seen.up
    assert seen.series > SMALL.applications * lines
    assert {"celery", "recorded"} == set(seen.scrapes)
    assert {"celery-tasks", "celery-workers", "redis", "celery-fleet"} <= set(seen.rules)
    assert [] == seen.firing


def test_many_workers(simulated: Simulated) -> None:
    """Each of many workers has its series, and no alert fires."""
    _, (seen, scrapes, length) = simulated
    assert 1 == seen.up
    assert seen.series > 10 * SMALL.workers
    assert all(scrapes)
    assert length > 1000 * SMALL.workers
    assert [] == seen.firing
