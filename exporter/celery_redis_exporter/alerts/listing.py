# SPDX-License-Identifier: Apache-2.0
"""List the alerts in a table for people: severity, waiting time, parameters.

Input: groups and options. Output: text of at most 80 columns.
"""

from collections.abc import Sequence
from textwrap import wrap

from celery_redis_exporter.alerts.files import RenderOptions, adjust
from celery_redis_exporter.alerts.rule import RuleGroup, show_number

WIDTH = 80
HEADING = ("ALERT", "SEVERITY", "FOR", "PARAMETERS")
GAP = 2


def render_list(groups: Sequence[RuleGroup], options: RenderOptions) -> str:
    """Return one line for each alert, or more if its parameters need them."""
    rows = [HEADING]
    for alert in (alert for group in adjust(groups, options) for alert in group.alerts):
        parameters = " ".join(f"{name}={show_number(value)}" for name, value in alert.parameters.items())
        rows.append((alert.name, alert.severity, alert.wait or "-", parameters))
    widths = [max(len(row[column]) for row in rows) + GAP for column in range(len(HEADING) - 1)]
    indented = sum(widths)
    lines = []
    for row in rows:
        first, *more = wrap(row[-1], WIDTH - indented) or [""]
        cells = "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        lines.append((cells + first).rstrip())
        lines += [" " * indented + line for line in more]
    return "\n".join(lines) + "\n"
