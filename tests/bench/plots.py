# SPDX-License-Identifier: Apache-2.0
"""Small plots as SVG: points and a line on two logarithmic axes.

Input: numbers. Output: text of a few kB. The plot has its own background, so that it is readable on dark pages too.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 52
INK, FAINT, COLOUR, PAPER = "#24292f", "#d8dee4", "#0969da", "#ffffff"
STEPS = (1, 2, 5)
MARGIN = 1.25
"""Factor by which an axis extends beyond its outermost points."""
ROUNDING = 1e-9

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: a title, axes with their units, and points above 0 in rising order of x."""

    title: str
    x_label: str
    y_label: str
    points: Sequence[Point]


def render_plot(plot: Plot) -> str:
    """Return the SVG of a plot."""
    xs, ys = zip(*plot.points, strict=True)
    x_axis = _Axis(min(xs) / MARGIN, max(xs) * MARGIN, LEFT, WIDTH - RIGHT)
    top = 1 / _round_down(1 / (max(ys) * MARGIN))
    # At least a decade, so that values that hardly change look flat.
    y_axis = _Axis(_round_down(min(min(ys) / MARGIN, top / 10)), top, HEIGHT - BOTTOM, TOP)
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in plot.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f'<g font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f"<title>{escape(plot.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{PAPER}"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="600">{escape(plot.title)}</text>',
        f'<text x="{LEFT}" y="{TOP - 6}" font-size="11">{escape(plot.y_label)}</text>',
        *_grid(x_axis, y_axis),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(plot.x_label)}</text>',
        f'<polyline points="{path}" fill="none" stroke="{COLOUR}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLOUR}"/>' for x, y in places),
        "</g></svg>",
    ]
    return "\n".join(lines) + "\n"


def fit_exponent(points: Sequence[Point]) -> float:
    """Return the exponent with which y grows with x for the largest x: least squares of the logarithms, upper half."""
    upper = [(math.log(x), math.log(y)) for x, y in points[len(points) // 2 - 1 :]]
    mean_x = sum(x for x, _ in upper) / len(upper)
    mean_y = sum(y for _, y in upper) / len(upper)
    return sum((x - mean_x) * (y - mean_y) for x, y in upper) / sum((x - mean_x) ** 2 for x, _ in upper)


class _Axis:
    """A logarithmic axis from ``begin`` to ``end`` (pixels), over the values ``low`` to ``high``."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self._low, self._high = low, high
        self._begin, self._end = begin, end

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        share = math.log(value / self._low) / math.log(self._high / self._low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> Iterator[float]:
        """Yield round values on the axis: powers of ten, and 2 and 5 times them on a short axis."""
        steps = STEPS if self._high / self._low < 200 else STEPS[:1]
        for power in range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._high)) + 1):
            for step in steps:
                value = step * 10.0**power
                if self._low * (1 - ROUNDING) <= value <= self._high * (1 + ROUNDING):
                    yield value


def _round_down(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten at or below a value, so that an axis ends at a line."""
    power = 10.0 ** math.floor(math.log10(value))
    # The logarithm of a value just below a power of ten can be rounded up to that power.
    return power * max(step for step in STEPS if step * power <= value * (1 + ROUNDING))


def _grid(x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    for value in x_axis.ticks():
        x = f"{x_axis.place(value):.1f}"
        yield f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{FAINT}"/>'
        yield f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_short(value)}</text>'
    for value in y_axis.ticks():
        y = f"{y_axis.place(value):.1f}"
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="{FAINT}"/>'
        yield f'<text x="{LEFT - 8}" y="{y}" dy="4" text-anchor="end">{_short(value)}</text>'


def _short(value: float) -> str:
    for factor, letter in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"
