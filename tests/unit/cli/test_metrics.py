# SPDX-License-Identifier: Apache-2.0
"""The command ``metrics``: the reference in three forms."""

import json

import pytest

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.catalog.reference import render_markdown
from celery_redis_exporter.cli import main


@pytest.mark.parametrize("argv", [["metrics"], ["metrics", "--format=text"], ["metrics", "--format", "text"]])
def test_text_names_every_metric(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The default output is text with each name and help."""
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert [metric.name for metric in CATALOG.values() if metric.name not in text or metric.help not in text] == []


def test_json_holds_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON output contains name, type, labels and buckets as the catalogue has them."""
    assert main(["metrics", "--format=json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(CATALOG) == list(rows)
    wait = rows["celery_task_wait_seconds"]
    assert ("histogram", ["task", "queue"], "task_send_sent_event") == (wait["type"], wait["labels"], wait["needs"])
    assert list(CATALOG["celery_task_wait_seconds"].buckets) == wait["buckets"]


def test_markdown_is_the_committed_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """The output of the command is the text that the catalogue's README contains."""
    assert main(["metrics", "--format=markdown"]) == 0
    assert render_markdown() == capsys.readouterr().out
