"""Numbers as people read them, the same on the page and in the terminal; what is not known is a dash.

Takes base units, gives short text with its unit.
"""

from datetime import UTC, datetime

UNKNOWN = "-"
LEAST_ERROR = 0.005
"""Below this ratio an estimate is shown as exact."""
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

_UNITS = ((1, "s", 60), (60, "min", 3600), (3600, "h", 172_800))


def say_count(value: float | None) -> str:
    """A count: thousands apart."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def say_duration(seconds: float | None) -> str:
    """A duration, in the unit that suits it."""
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
    """How long ago a moment was, in whole units; a clock may be a little ahead."""
    if moment is None:
        return UNKNOWN
    seconds = max(now - moment, 0.0)
    for size, unit, below in _UNITS:
        if seconds < below:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds // 86_400:,.0f} d ago"


def say_error(error: float | None) -> str:
    """Write the error of an estimate behind its value, such as ``±13%``; nothing where it is exact."""
    return f" ±{error:.0%}" if error is not None and error >= LEAST_ERROR else ""


def say_bytes(value: float | None) -> str:
    """A size in binary units."""
    if value is None:
        return UNKNOWN
    size, unit = value, _SIZES[0]
    for unit in _SIZES:
        if size < 999.5 or unit == _SIZES[-1]:
            break
        size /= 1024
    return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"


def say_rate(per_second: float | None) -> str:
    """A rate; what happens less than every ten seconds, per minute."""
    if per_second is None:
        return UNKNOWN
    if not per_second:
        return "0/s"
    if per_second < 0.1:
        return f"{per_second * 60:.2g}/min"
    return f"{per_second:,.0f}/s" if per_second >= 999.5 else f"{per_second:.3g}/s"


def say_share(ratio: float | None) -> str:
    """A share of one, in per cent; a small one is not called none, nor a large one all."""
    if ratio is None:
        return UNKNOWN
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %" if percent % 1 >= 0.05 and percent < 99.95 else f"{percent:.0f} %"


def say_moment(moment: float | None) -> str:
    """A moment in UTC."""
    try:
        return UNKNOWN if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN
