# SPDX-License-Identifier: Apache-2.0
"""The metric reference: complete, and valid as Markdown."""

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.catalog.reference import ROOMS, _cell, labels_used, render_markdown


def test_the_rooms_hold_the_whole_catalogue() -> None:
    """Every declared metric stands in exactly one table, in the catalogue's order."""
    assert list(CATALOG.values()) == [metric for _, metrics in ROOMS for metric in metrics]


def test_every_metric_has_its_row() -> None:
    """A row names the metric, its type and each of its labels."""
    text = render_markdown()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    for metric in CATALOG.values():
        assert f"| `{metric.name}` | {metric.kind} |" in text
        assert [name for name in metric.label_names if f"`{name}`" not in text] == []
    assert [label.name for label in labels_used() if label.name not in rows] == []


def test_every_row_of_a_table_has_its_columns() -> None:
    """No text of a cell breaks the table: columns are those of the header."""
    columns = 0
    for line in render_markdown().splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        cells = line.replace("\\|", "").count("|")
        columns = columns or cells
        assert columns == cells, line


def test_marks_of_markdown_are_escaped_outside_of_code() -> None:
    """Stars and underscores show as themselves; a bar never ends the cell."""
    assert _cell("*.reply `a_b|c` x_y") == "\\*.reply `a_b\\|c` x\\_y"
