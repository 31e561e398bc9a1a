# SPDX-License-Identifier: Apache-2.0
"""A short soak; ``python -m tests.soak`` runs a long one."""

import pytest

from tests.integration.conftest import Programs
from tests.soak import judge, soak

pytestmark = [pytest.mark.servers, pytest.mark.timeout(420)]

SECONDS, RATE, EVERY = 180.0, 5000.0, 15.0


def test_a_short_soak(programs: Programs) -> None:
    """During successive faults no resource grows, no counter falls, and each execution is counted or missed."""
    result = soak(programs, SECONDS, RATE, EVERY)
    assert judge(result) == []
    assert result.faults >= 8
    assert result.restarts == 2
