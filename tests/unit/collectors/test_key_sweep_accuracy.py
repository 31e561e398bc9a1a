# SPDX-License-Identifier: Apache-2.0
"""The error of a sweep's estimates, on a simulated server with the default budget."""

import random

from tests.key_space.simulation import populate, sweep_once
from tests.support.sizes import scaled


def test_estimates_of_one_sweep() -> None:
    """With skewed sizes, without the heaviest keys, estimates are within 10 % after one sweep, and intervals hold."""
    keys, outcomes = populate(scaled(100_000, 200_000), seed=7), []
    for run in range(scaled(1, 3)):
        random.Random(run).shuffle(keys)  # noqa: S311 -- a simulation
        outcomes += list(sweep_once(keys))
    assert {"celery-task-meta", "session:*", "market:*", "candles:*"} == {outcome.group for outcome in outcomes}
    assert 0.1 > max(outcome.miss for outcome in outcomes)
    assert len(outcomes) - 2 <= sum(outcome.is_covered for outcome in outcomes)
