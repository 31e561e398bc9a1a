# SPDX-License-Identifier: Apache-2.0
"""Numbers in a form that people read."""

from collections.abc import Sequence

import pytest

from celery_redis_exporter.status.format import (
    say_ago,
    say_bytes,
    say_count,
    say_duration,
    say_moment,
    say_rate,
    say_share,
    say_trend,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0, "0 s"), (0.00123, "1.23 ms"), (0.25, "250 ms"), (0.9996, "1 s"), (1.5, "1.5 s"),
        (59.94, "59.9 s"), (60, "1 min"), (3599, "60 min"), (7200, "2 h"), (172_800, "2.0 d"),
        (86_400_000, "1,000.0 d"),        (-2, "-2 s"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    """A duration is shown in a suitable unit."""
    assert text == say_duration(seconds)


@pytest.mark.parametrize(
    ("at", "text"),
    [(None, "-"), (100.0, "0 s ago"), (101.0, "0 s ago"), (41.0, "59 s ago"), (40.0, "1 min ago"), (-2e5, "2 d ago")],
)
def test_moments_ago(at: float | None, text: str) -> None:
    """A moment is shown in whole units, and one ahead of the clock as now."""
    assert text == say_ago(at, 100.0)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"), (0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (2048, "2 KiB"), (64 * 2**20, "64 MiB"),
        (2**63, "8.19e+03 PiB"),
    ],
)  # fmt: skip
def test_sizes(size: float | None, text: str) -> None:
    """A size is shown in binary units, with three digits."""
    assert text == say_bytes(size)


@pytest.mark.parametrize(
    ("rate", "text"), [(None, "-"), (0, "0/s"), (0.01, "0.6/min"), (0.1, "0.1/s"), (12.34, "12.3/s"), (1234, "1,234/s")]
)
def test_rates(rate: float | None, text: str) -> None:
    """A low rate is shown per minute."""
    assert text == say_rate(rate)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "-"), (0, "0 %"), (0.0004, "<0.1 %"), (0.001, "0.1 %"), (0.5, "50 %"), (0.1234, "12.3 %"),
        (0.9995, ">99.9 %"), (1, "100 %"), (0.0099, "1.0 %"), (1.5, "150 %"),
    ],
)  # fmt: skip
def test_shares(ratio: float | None, text: str) -> None:
    """A small share is not shown as none, and a large one not as all."""
    assert text == say_share(ratio)


def test_counts_and_moments() -> None:
    """Counts have thousands separators, moments are in UTC, and an invalid moment is a dash."""
    assert ("-", "1,234,567") == (say_count(None), say_count(1234567))
    assert "2026-11-22 14:00:00 UTC" == say_moment(1795356000)
    assert ("-", "-") == (say_moment(None), say_moment(1e20))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "-"), ((None,), " "), ((0, 0), "▁▁"), ((0, 1, None, 7, 3.5), "▁▂ █▅"), (range(60), "▂▃▃▄▄▅▆▆▇▇██"),
        ((0.001, 100), "▂█"),
    ],
)  # fmt: skip
def test_trends(values: Sequence[float | None], text: str) -> None:
    """A trend has at most twelve blocks, each for the largest of its values; only zero is the lowest block."""
    assert text == say_trend(values)
