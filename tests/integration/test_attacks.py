# SPDX-License-Identifier: Apache-2.0
"""Run each attack briefly. ``python -m tests.attacks`` runs long ones and measures seconds."""

import pytest

from tests.attacks.situations import SITUATIONS, strike

pytestmark = pytest.mark.servers

SECONDS = 3.0


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_short_attack(name: str) -> None:
    """During an attack, within the shipped memory limit, every scrape and every health request gets a response."""
    assert [] == strike(name, SECONDS, 0).wrong(timed=False)
