# SPDX-License-Identifier: Apache-2.0
"""A small truth run; ``python -m tests.truth`` makes large ones."""

import pytest

from tests.truth.compare import compared
from tests.truth.expect import MISSED, RUNNING
from tests.truth.run import Outcome, run

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

TASKS, SEED = 300, 1
ENDS = {"success", "failure", "retry", "revoked", "expired", "rejected", "ignored", "lost", "NotRegistered"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Yield the outcome of one run, on Redis."""
    return run(tmp_path_factory.mktemp("truth"), SEED, TASKS)


def test_the_exporter_counts_what_happened(outcome: Outcome) -> None:
    """The exporter's counts per task, queue and state equal those that signals inside the workers wrote."""
    assert [] == [str(difference) for difference in outcome.differences]


def test_celery_sent_what_happened(outcome: Outcome) -> None:
    """Each fact has its event, unless its kind explains why Celery sends none, and each execution has an end."""
    assert [] == outcome.unsent
    assert 0 == outcome.unfinished


def test_every_outcome_took_place(outcome: Outcome) -> None:
    """The run has executions and refusals of every kind, and compares every metric."""
    assert outcome.sent == TASKS
    assert outcome.kinds.keys() >= ENDS
    assert all(
        count for name, (count, _) in compared(outcome.expected.samples).items() if name not in {RUNNING, MISSED}
    )
