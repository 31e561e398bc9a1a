# SPDX-License-Identifier: Apache-2.0
"""Tables of alerts/README.md that come from simulated lives: the notifications of a week, and times until alerts fire.

Input: the alerts that fired. Output: Markdown between two marks. ``python -m tests.alert_life --write`` writes both.
"""

from collections.abc import Sequence
from pathlib import Path

from celery_redis_exporter.alerts import GROUPS
from tests.alert_life.evaluation import NAIVE, Evaluation, Firing, rules_digest
from tests.alert_life.inhibition import is_inhibited
from tests.alert_life.lives import TROUBLES
from tests.alert_life.week import EVALUATION, WEEK

README = Path(__file__).parents[2] / "alerts" / "README.md"
COMMAND = "python -m tests.alert_life --write"
SEVERITIES = {alert.name: alert.severity for group in GROUPS for alert in group.alerts}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NONE = "| none | | | | |"


def mark(name: str, edge: str) -> str:
    """Return the mark that begins or ends a section."""
    return f"<!-- {name}: {edge} of what `{COMMAND}` writes -->"


def section(text: str, name: str) -> str:
    """Return the text between the marks of a section."""
    return text.partition(mark(name, "begin"))[2].partition(mark(name, "end"))[0].strip()


def put(text: str, name: str, body: str) -> str:
    """Return the text with the body of a section replaced."""
    before, begin, rest = text.partition(mark(name, "begin"))
    _, end, after = rest.partition(mark(name, "end"))
    assert begin, name
    assert end, name
    return f"{before}{begin}\n\n{body}\n\n{end}{after}"


def evaluate_week(folder: Path, promtool: str) -> list[Firing]:
    """Simulate the week; return the alerts that Alertmanager sends. Fail if a naive rule did not fire."""
    found = Evaluation(folder, promtool, [WEEK], EVALUATION, {WEEK.name: WEEK.live()}).results().get(WEEK.name, [])
    silent = {NAIVE + alert for alert in WEEK.naive} - {firing.name for firing in found}
    assert not silent, silent
    ours = [firing for firing in found if not firing.name.startswith(NAIVE)]
    labels = [dict(firing.labels) for firing in ours]
    return [firing for firing in ours if not is_inhibited(dict(firing.labels), labels)]


def week_table(firings: Sequence[Firing]) -> str:
    """Return the table of the week's notifications."""
    rows = [_row(firing) for firing in firings] or [NONE]
    table = ["| alert | severity | about | first | times |", "|---|---|---|---|---|", *rows]
    return "\n".join([*table, "", f"These are the notifications by the rules `{rules_digest()}`."])


def troubles_table() -> str:
    """Return the table of the alerts that fire in each trouble, and the minutes within which they fire."""
    rows = ["| trouble | fires, within minutes of the cause |", "|---|---|"]
    for life in sorted(TROUBLES, key=lambda life: life.story):
        fires = sorted(life.fires.items(), key=lambda row: (row[1].minutes, row[0]))
        rows.append(f"| {life.story} | {', '.join(f'{alert} {when.minutes:.0f}' for alert, when in fires)} |")
    return "\n".join(rows)


def _row(firing: Firing) -> str:
    hour, minute = divmod(int(firing.first) % 1440, 60)
    about = firing.labels.get("task") or firing.labels.get("queue") or firing.labels.get("worker") or ""
    when = f"{DAYS[int(firing.first) // 1440 % 7]} {hour:02}:{minute:02}"
    return f"| {firing.name} | {SEVERITIES[firing.name]} | {about} | {when} | {firing.times} |"
