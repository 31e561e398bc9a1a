# SPDX-License-Identifier: Apache-2.0
"""Growth of counters over the last minutes."""

import pytest

from celery_redis_exporter.status.marks import KEPT, SPACING, Growth, Marks, quantile


def test_growth_since_the_start() -> None:
    """Before the first mark growth is counted from 0 at the start; at the start itself it is unknown."""
    marks = Marks(100.0)
    assert marks.growth("a", (6.0, 3.0), 100.0) is None
    assert Growth(3.0, (6.0, 3.0)) == marks.growth("a", (6.0, 3.0), 103.0)


def test_growth_over_a_time() -> None:
    """The newest mark that is old enough counts; a longer time goes back to the oldest one."""
    marks = Marks(0.0)
    marks.note(60.0, {"a": (10.0,)})
    marks.note(120.0, {"a": (30.0,)})
    assert Growth(70.0, (30.0,)) == marks.growth("a", (40.0,), 130.0, SPACING)
    assert Growth(60.0, (20.0,)) == marks.growth("a", (50.0,), 180.0, SPACING)
    assert Growth(180.0, (50.0,)) == marks.growth("a", (50.0,), 180.0)


def test_what_was_new_or_began_anew_is_counted_from_zero() -> None:
    """A new name, counters that fell and counters of another shape are counted from zero."""
    marks = Marks(0.0)
    marks.note(60.0, {"a": (10.0,), "b": (1.0,)})
    assert Growth(60.0, (4.0,)) == marks.growth("new", (4.0,), 120.0, SPACING)
    assert Growth(60.0, (4.0,)) == marks.growth("a", (4.0,), 120.0, SPACING)
    assert Growth(60.0, (5.0, 2.0)) == marks.growth("b", (5.0, 2.0), 120.0, SPACING)


def test_marks_are_bounded_and_share_their_index() -> None:
    """The oldest mark is dropped, and names that stay the same are stored once."""
    marks = Marks(0.0)
    for number in range(KEPT + 5):
        marks.note(60.0 * (number + 1), {"a": (7.0,), "b": (float(number),)})
    assert len(marks._marks) == KEPT
    assert 1 == len({id(mark.spans) for mark in marks._marks})
    assert Growth(60.0 * (KEPT - 1), (KEPT - 1.0,)) == marks.growth("b", (KEPT + 4.0,), 60.0 * (KEPT + 5))


@pytest.mark.parametrize(
    ("share", "counts", "value"),
    [
        (0.5, (0, 0, 0, 0), None),
        (0.5, (10, 0, 0, 0), 0.5),
        (0.5, (5, 5, 0, 0), 1.0),
        (0.95, (0, 100, 0, 0), 1.95),
        (0.95, (0, 50, 0, 50), 4.0),
        (0.5, (0, 1, 1, 0), 2.0),
        (0.5, (5, 0, 5, 0), 1.0),
    ],
)
def test_quantiles(share: float, counts: tuple[float, ...], value: float | None) -> None:
    """The quantile is that of histogram_quantile: linear within a bucket, the highest bound for values above it."""
    assert value == quantile(share, (1.0, 2.0, 4.0), counts)
