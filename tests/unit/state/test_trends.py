# SPDX-License-Identifier: Apache-2.0
"""The last readings of each server."""

from celery_redis_exporter.records.report import TrendReading
from celery_redis_exporter.state.trends import READINGS, SPACING, Counts, Trends


def test_readings() -> None:
    """Hit ratio and rate are computed between two readings, and absent for the first one."""
    trends = Trends()
    trends.note("a", 100.0, 5.0, Counts(100, 10, 10))
    trends.note("a", 110.0, 6.0, Counts(300, 13, 11))
    trends.note("a", 120.0, 7.0, Counts(300, 13, 11))
    assert trends.of("a") == [
        TrendReading(100.0, 5.0, None, None), TrendReading(110.0, 6.0, 0.75, 20.0), TrendReading(120.0, 7.0, None, 0.0),
    ]  # fmt: skip
    assert [] == trends.of("b")


def test_a_restarted_server_has_no_pace_across_its_restart() -> None:
    """A reading after a counter fell, because the server restarted, has no hit ratio and no rate."""
    trends = Trends()
    trends.note("a", 100.0, 5.0, Counts(100, 10, 10))
    trends.note("a", 110.0, 6.0, Counts(5, 1, 1))
    assert TrendReading(110.0, 6.0, None, None) == trends.of("a")[-1]


def test_readings_are_bounded_and_spaced() -> None:
    """The number of readings is bounded, and the next one is due after the spacing or if the clock stepped back."""
    trends = Trends()
    for number in range(READINGS + 20):
        trends.note("a", number * SPACING, number, Counts(0, 0, 0))
    assert [20, READINGS + 19] == [trends.of("a")[0].used_bytes, trends.of("a")[-1].used_bytes]
    assert READINGS == len(trends.of("a"))
    last = trends.of("a")[-1].at
    assert [False, True, True] == [trends.wants("a", at) for at in (last + SPACING / 2, last + SPACING, last - 1)]
    assert trends.wants("b", last)


def test_servers_that_left_are_forgotten() -> None:
    """Readings of servers that left are removed."""
    trends = Trends()
    for server in ("a", "b"):
        trends.note(server, 100.0, 5.0, Counts(0, 0, 0))
    trends.keep(["b"])
    assert ([], 1) == (trends.of("a"), len(trends.of("b")))
