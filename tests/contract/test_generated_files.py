# SPDX-License-Identifier: Apache-2.0
"""Generated files are committed as the generator writes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from celery_redis_exporter.alerts import files as alerts
from celery_redis_exporter.catalog import reference as metrics
from celery_redis_exporter.cli.check import reference as findings
from celery_redis_exporter.settings import example
from celery_redis_exporter.settings import reference as settings
from celery_redis_exporter.status import schema as status


@pytest.mark.parametrize(
    ("target", "render", "command"),
    [
        (metrics.TARGET, metrics.render_markdown, "python -m celery_redis_exporter.catalog.reference --write"),
        (settings.TARGET, settings.render_markdown, "python -m celery_redis_exporter.settings.reference --write"),
        (example.TARGET, example.render_example, example.COMMAND),
        (findings.TARGET, findings.render_markdown, "python -m celery_redis_exporter.cli.check.reference --write"),
        pytest.param(status.TARGET, status.render_schema, status.COMMAND, marks=pytest.mark.pinned),
    ],
    ids=[
        "exporter/celery_redis_exporter/catalog/README.md",
        "deploy/docs/configuration.md",
        "deploy/docs/settings.example.yml",
        "exporter/celery_redis_exporter/cli/check/README.md",
        "deploy/status.schema.json",
    ],
)
def test_the_committed_file_is_what_the_generator_writes(target: Path, render: Callable[[], str], command: str) -> None:
    """A changed source without its generated file is refused."""
    assert target.read_text(encoding="utf-8") == render(), f"run: {command}"
    assert command in render()


def test_alert_rules_are_what_the_generator_writes() -> None:
    """The files in alerts/ are exactly the rules of exporter/celery_redis_exporter/alerts."""
    paths = [path for path in alerts.TARGET.iterdir() if path.suffix in {".yml", ".libsonnet"}]
    committed = {path.name: path.read_text(encoding="utf-8") for path in paths}
    assert committed == alerts.files(), "run: python -m celery_redis_exporter.alerts.files --write"
