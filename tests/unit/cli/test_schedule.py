# SPDX-License-Identifier: Apache-2.0
"""Conversion of beat_schedule to settings."""

import sys
from pathlib import Path

import pytest

from celery_redis_exporter.cli import schedule
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.sources.celery_app import ScheduledTask

ENTRIES = [
    ScheduledTask("a", "t", "interval", {}, 60.0),
    ScheduledTask("b", "t", "crontab", {"minute": "*/30"}),
    ScheduledTask("sunrise", "wake", "solar", {}),
    ScheduledTask("odd", "mine", "MySchedule", {}),
    ScheduledTask("spoilt", "s", "crontab", {"minute": "77"}),
]


def test_output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The shortest interval of a task's entries counts; an entry without an interval is named on standard error."""
    monkeypatch.setattr(schedule, "read_schedule", lambda _app, _scheduler: ENTRIES)
    assert 0 == schedule.run(["--app=proj"])
    out, err = capsys.readouterr()
    assert 'tasks:\n  "t":\n    expected_interval: 1m\n  "wake":\n    expected_interval: 25h\n' == out
    assert ["left out: odd", "left out: spoilt"] == [line.rpartition(": ")[0] for line in err.splitlines()]


@pytest.mark.parametrize("argv", [
    [], ["--app"], ["--app="], ["proj"], ["--app=a", "--app=b"], ["-B", "x"], ["--scheduler=x"],
    ["--app=a", "--scheduler="], ["--app=a", "--other=b"],
])  # fmt: skip
def test_wrong_flags(argv: list[str]) -> None:
    """Anything but one application is refused with an example."""
    with pytest.raises(ConfigError, match=r"--app=proj\.celery"):
        schedule.run(argv)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help states what the output is for."""
    assert 0 == schedule.run(["--help"])
    assert "celery_task_expected_interval_seconds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "app", "message"),
    [
        ("{}['X']", "", r"can't be imported \(KeyError: 'X'\); run this where the application starts"),
        ("1 / 0", "", r"can't be imported \(ZeroDivisionError: division by zero\)"),
        ("def make_app(): pass", ":make_app", r"of type function; assign what it returns .* app = make_app\(\)"),
        ("value = 3", ":value", "not a Celery application but of type int; name the application"),
    ],
)
def test_what_the_users_code_does_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, app: str, message: str
) -> None:
    """An exception of the user's module, and a name of something else, are errors of the flag."""
    (tmp_path / "users_code.py").write_text(f"{code}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_code", raising=False)
    with pytest.raises(ConfigError, match=f"^--app users_code{app}: .*{message}"):
        schedule.run([f"--app=users_code{app}"])
