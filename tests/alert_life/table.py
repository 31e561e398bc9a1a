"""The table of alerts/README.md that comes from simulated lives: times until alerts fire.

Input: the troubles. Output: Markdown between two marks. ``python -m tests.alert_life --write`` writes it.
"""

from pathlib import Path

from tests.alert_life.lives import TROUBLES

README = Path(__file__).parents[2] / "alerts" / "README.md"
COMMAND = "python -m tests.alert_life --write"


def mark(name: str, edge: str) -> str:
    """Return the line that begins or ends a section."""
    return f"<!-- {name}: {edge} of what `{COMMAND}` writes -->"


def section(text: str, name: str) -> str:
    """Return what stands between the marks of a section."""
    return text.partition(mark(name, "begin"))[2].partition(mark(name, "end"))[0].strip()


def put(text: str, name: str, body: str) -> str:
    """Return the text with another body of a section."""
    before, begin, rest = text.partition(mark(name, "begin"))
    _, end, after = rest.partition(mark(name, "end"))
    assert begin, name
    assert end, name
    return f"{before}{begin}\n\n{body}\n\n{end}{after}"


def troubles_table() -> str:
    """Return what fires in each trouble, and within how many minutes of its cause."""
    rows = ["| trouble | fires, within minutes of the cause |", "|---|---|"]
    for life in sorted(TROUBLES, key=lambda life: life.story):
        fires = sorted(life.fires.items(), key=lambda row: (row[1].minutes, row[0]))
        rows.append(f"| {life.story} | {', '.join(f'{alert} {when.minutes:.0f}' for alert, when in fires)} |")
    return "\n".join(rows)
