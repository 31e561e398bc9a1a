# SPDX-License-Identifier: Apache-2.0
"""Format numbers for people, the same on the page and in the terminal. An unknown value is a dash.

Input: numbers in base units. Output: short text with a unit.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

from celery_redis_exporter.records.report import LastHour

UNKNOWN = "-"
LEAST_ERROR = 0.005
"""A smaller error of an estimate, as a ratio, is not shown."""
BLOCKS = "▁▂▃▄▅▆▇█"
"""Characters of a trend, from 0 to its largest value."""
TREND = 12
"""The maximum number of characters of a trend."""
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

_UNITS = ((1, "s", 60), (60, "min", 3600), (3600, "h", 172_800))


def say_count(value: float | None) -> str:
    """Return a count with separated thousands."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def say_duration(seconds: float | None) -> str:
    """Return a duration in a suitable unit."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0:
        return f"-{say_duration(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    for size, unit, below in _UNITS:
        if seconds < below:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:,.1f} d"


def say_ago(moment: float | None, now: float) -> str:
    """Return how long ago a moment was, in whole units. A moment slightly in the future counts as now.

    ``moment`` and ``now`` are in epoch seconds.
    """
    if moment is None:
        return UNKNOWN
    seconds = max(now - moment, 0.0)
    for size, unit, below in _UNITS:
        if seconds < below:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds // 86_400:,.0f} d ago"


def say_error(error: float | None) -> str:
    """Return the error of an estimate, such as ``±13%``, to follow its value. Empty if the value is exact.

    ``error`` is a ratio.
    """
    return f" ±{error:.0%}" if error is not None and error >= LEAST_ERROR else ""


def say_bytes(value: float | None) -> str:
    """Return a size in binary units."""
    if value is None:
        return UNKNOWN
    size, unit = value, _SIZES[0]
    for unit in _SIZES:
        if size < 999.5 or unit == _SIZES[-1]:
            break
        size /= 1024
    return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"


def say_rate(per_second: float | None) -> str:
    """Return a rate: per minute if it is less than one in ten seconds, per second otherwise."""
    if per_second is None:
        return UNKNOWN
    if not per_second:
        return "0/s"
    if per_second < 0.1:
        return f"{per_second * 60:.2g}/min"
    return f"{per_second:,.0f}/s" if per_second >= 999.5 else f"{per_second:.3g}/s"


def say_share(ratio: float | None) -> str:
    """Return a ratio as a percentage. Only 0 is shown as 0 %, and only 1 as 100 %."""
    if ratio is None:
        return UNKNOWN
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %" if percent % 1 >= 0.05 and percent < 99.95 else f"{percent:.0f} %"


def say_trend(values: Sequence[float | None]) -> str:
    """Return the trend of values, the oldest first, as blocks: each is the largest of its values, blank without any."""
    size = ceil(len(values) / TREND) or 1
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    largest = [max((value for value in part if value is not None), default=None) for part in parts]
    top = max((value for value in largest if value), default=0.0)
    steps = len(BLOCKS) - 1
    return (
        "".join(" " if value is None else BLOCKS[ceil(value / top * steps) if top else 0] for value in largest)
        or UNKNOWN
    )


def say_last_hour(found: LastHour) -> str:
    """Return the totals of all tasks in a line, the most important first."""
    counts = {"failed": found.failure, "retried": found.retry, "published": found.published, "started": found.started}
    others = {"revoked": found.revoked, "rejected": found.rejected}
    shown = counts | {name: count for name, count in others.items() if count}
    parts = [f"{say_share(found.success_ratio)} succeeded", *(f"{say_count(shown[name])} {name}" for name in shown)]
    return f"Last {say_duration(found.seconds)}: {', '.join(parts)}"


def say_moment(moment: float | None) -> str:
    """Return a moment (epoch seconds) in UTC."""
    try:
        return UNKNOWN if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN
