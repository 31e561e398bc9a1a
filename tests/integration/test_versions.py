# SPDX-License-Identifier: Apache-2.0
"""Every minor version of Celery from 5.3 on: its events are counted, and its workers reply."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.celery_versions import VERSIONS, full_version, install, python_of
from tests.integration.pools import CASES, NOWHERE, Case, Fleet, assemble, failed
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(300)]

OVERRUN = Case("overrun_hard", failed("TimeLimitExceeded"), args=(NOWHERE,))
MISSING = "celery_exporter_control_replies_missing_total"


@pytest.fixture(scope="module")
def _installed() -> None:
    """Install all versions that are not installed."""
    install(VERSIONS)


@pytest.fixture(
    scope="module", params=[(minor, pool) for minor in VERSIONS for pool in ("prefork", "solo")], ids="-".join
)
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _installed: None
) -> Iterator[Fleet]:
    """Yield a fleet whose worker has one version of Celery, to which the tasks of all cases were sent."""
    minor, pool = request.param
    with ExitStack() as ending:
        fleet = assemble(tmp_path_factory.mktemp("version"), ending, pool, str(python_of(minor)))
        version = fleet.exporter.labels("celery_worker_info")[0]["version"]
        assert full_version(minor) == version
        for case in CASES:
            fleet.publish(case)
        yield fleet


def test_events_are_counted(fleet: Fleet) -> None:
    """The events of every version lead to the same counts, with nothing missed, unmatched or unreadable."""
    for case in CASES:
        fleet.exporter.agrees(case.task, case.account)
    if fleet.pool == "prefork":
        fleet.publish(OVERRUN)
        fleet.exporter.agrees(OVERRUN.task, OVERRUN.account)
    eventually(fleet.is_idle)
    assert {} == fleet.unexplained()


def test_workers_answer(fleet: Fleet) -> None:
    """The workers of every version report their settings, their queues, their tasks and the registered task names."""
    name, exporter = fleet.worker.name, fleet.exporter
    eventually(fleet.is_idle)
    fleet.send("waiting", countdown=600)
    eventually(lambda: exporter.value("celery_worker_tasks_scheduled", worker=name) == 1)
    concurrency = 2 if fleet.pool == "prefork" else 1
    assert exporter.value("celery_worker_concurrency", worker=name) == concurrency
    assert exporter.value("celery_queue_concurrency", queue="celery") == concurrency
    assert exporter.value("celery_worker_pool_info", worker=name, pool=fleet.pool) == 1
    assert exporter.value("celery_worker_queue_info", worker=name, queue="celery") == 1
    assert exporter.value("celery_worker_tasks_reserved", worker=name) == 0
    assert exporter.value("celery_worker_prefetch_count", worker=name)
    assert exporter.value("celery_worker_memory_max_rss_bytes", worker=name)
    assert exporter.value("celery_worker_uptime_seconds", worker=name) is not None
    assert exporter.value("celery_tasks_total", task="burst", queue="celery", state="failure") == 0
    assert {0.0} == {exporter.value(MISSING, **labels) for labels in exporter.labels(MISSING)}
