# SPDX-License-Identifier: Apache-2.0
"""The help texts about the settings: complete, under headings, and as wide as the terminal."""

import pytest

from celery_redis_exporter.cli import COMMANDS, main
from celery_redis_exporter.settings.schema.headings import MAIN, OTHER, by_heading
from celery_redis_exporter.settings.schema.rows import by_path, describe
from celery_redis_exporter.settings.usage import render_help, render_main_settings


def test_each_setting_has_one_heading() -> None:
    """Every setting is listed once, below the heading of its subject."""
    paths = [row.path for _, rows in by_heading() for row in rows]
    assert sorted(paths) == sorted(by_path())
    assert OTHER not in dict(by_heading())


def test_headings_are_in_the_order_of_use() -> None:
    """Broker and port come first, transport options last."""
    headings = [heading for heading, _ in by_heading()]
    assert ["Broker and result backend", "Web server"] == headings[:2]
    assert headings[-1] == "Celery's transport options"
    text = render_help("program")
    assert sorted(headings, key=text.index) == headings


def test_the_main_help_has_ten_settings() -> None:
    """The help of the program shows the ten settings that matter, with their defaults."""
    text = render_main_settings()
    assert len(MAIN) == 10
    shown = [row.flag for row in describe() if f"  {row.flag}=" in text]
    assert sorted(shown) == sorted(by_path()[path].flag for path in MAIN)
    assert "(default: redis://localhost:6379/0)" in text


@pytest.mark.parametrize(("columns", "widest"), [("70", 70), ("80", 80), ("100", 100), ("300", 120)])
def test_the_help_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str, widest: int) -> None:
    """Texts are wrapped at the width of the terminal, at most at 120 columns; only a flag can be longer."""
    monkeypatch.setenv("COLUMNS", columns)
    lines = [line for line in render_help("program").splitlines() if not line.startswith("  --")]
    assert widest - 20 < max(map(len, lines)) <= widest


@pytest.mark.parametrize("command", ["", *COMMANDS, "render dashboards"])
def test_every_help_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """In a pipe no line of any help has more than 80 characters."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert 0 == main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert [] == [line for line in text.splitlines() if len(line) > 80]


@pytest.mark.parametrize("command", [name for name, row in COMMANDS.items() if row.adds_settings])
def test_commands_that_take_settings_name_their_list(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """A command's help has its own flags and a reference to the list of settings."""
    assert 0 == main([command, "--help"])
    text = capsys.readouterr().out
    assert "celery-redis-exporter run --help" in text
    assert "--queues.names" not in text
