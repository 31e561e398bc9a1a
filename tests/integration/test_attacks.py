# SPDX-License-Identifier: Apache-2.0
"""A short run of each attack; ``python -m tests.attacks`` runs long ones, and measures seconds."""

import pytest

from tests.attacks.situations import SITUATIONS, strike

pytestmark = pytest.mark.servers

SECONDS = 3.0


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_short_attack(name: str) -> None:
    """Within the shipped limit of memory an attack leaves no scrape and no health request without an answer."""
    assert [] == strike(name, SECONDS, 0).wrong(timed=False)
