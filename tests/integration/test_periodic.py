# SPDX-License-Identifier: Apache-2.0
"""Periodic tasks: real beats that reply to commands, RedBeat entries, and beat_schedule as settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry

from tests.integration.beats import django_python, prepare_database, project_environment
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import clean_environment
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

APPLICATION = """
from celery import Celery
from celery.schedules import BaseSchedule, crontab

class Whenever(BaseSchedule):
    pass

app = Celery("proj", broker="redis://127.0.0.1:1/0")
app.conf.beat_schedule = {
    "every-half-minute": {"task": "proj.tick", "schedule": 30.0},
    "now-and-then": {"task": "proj.tick", "schedule": 90.0},
    "nightly": {"task": "proj.report", "schedule": crontab(minute=0, hour=4)},
    "office": {"task": "proj.mail", "schedule": crontab(minute="*/15", hour="8-17", day_of_week="mon-fri")},
    "never": {"task": "proj.leap", "schedule": Whenever()},
}
"""


def intervals(exporter: Exporter) -> dict[str, float]:
    """Return the expected intervals by task."""
    metric = "celery_task_expected_interval_seconds"
    return {dict(labels)["task"]: value for (name, labels), value in exporter.metrics(metric).items() if name == metric}


def run_schedule(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    command = [sys.executable, "-m", "celery_redis_exporter", "schedule", *arguments]
    given = clean_environment() | environment
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=60, check=False)


def test_schedule_command(tmp_path: Path, programs: Programs) -> None:
    """The command writes beat_schedule as settings that the exporter accepts, and names entries without interval."""
    (tmp_path / "proj_app.py").write_text(APPLICATION, encoding="utf-8")
    found = run_schedule(tmp_path, "--app=proj_app")
    assert 0 == found.returncode, found.stderr
    assert "left out: never" in found.stderr
    (tmp_path / "settings.yml").write_text(found.stdout, encoding="utf-8")
    exporter = programs.listening(programs.redis(), "--config.file", str(tmp_path / "settings.yml"))
    assert {
        "proj.tick": 30, "proj.report": 86_400, "proj.mail": 2 * 86_400 + 14.25 * 3600,
    } == intervals(exporter)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "--app=proj.celery"), (("--app=nowhere.at.all",), "can't be imported"), (("--app=proj_bad",), "proj_bad")],
)
def test_schedule_command_told_why_not(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """Without an application, or with one that fails, the command prints one line and exits with 2."""
    (tmp_path / "proj_bad.py").write_text("import missing_module_of_the_user\n", encoding="utf-8")
    found = run_schedule(tmp_path, *arguments)
    assert (2, "") == (found.returncode, found.stdout)
    assert message in found.stderr
    assert 1 == found.stderr.count("\n")


@pytest.mark.parametrize(
    ("code", "app", "message"),
    [
        ("import os; os.environ['UNSET_VARIABLE']", "user", "can't be imported (KeyError: 'UNSET_VARIABLE')"),
        ("raise RuntimeError('first\\nsecond')", "user", "can't be imported (RuntimeError: first second)"),
        ("assert 1 == 2, 'wrong'", "user", "can't be imported (AssertionError: wrong)"),
        ("app = undefined", "user", "can't be imported (NameError: name 'undefined' is not defined)"),
        ("from celery import Celery; app = Celery(); app.config_from_object('no.settings')", "user",
         "can't be imported (ModuleNotFoundError: No module named 'no')"),
        ("def make_app(): pass", "user:make_app", "not a Celery application but of type function; assign"),
        ("value = 3", "user:value", "not a Celery application but of type int; name the application"),
        ("value = 3", "user:", "not a Celery application but of type module; name the application"),
    ],
)  # fmt: skip
def test_schedule_command_reports_what_the_users_code_did(tmp_path: Path, code: str, app: str, message: str) -> None:
    """Whatever the user's module raises, and whatever --app names, the command prints one line and exits with 2."""
    (tmp_path / "user.py").write_text(f"{code}\n", encoding="utf-8")
    found = run_schedule(tmp_path, f"--app={app}")
    assert (2, "", 1) == (found.returncode, found.stdout, found.stderr.count("\n"))
    assert f"--app {app}: " in found.stderr
    assert message in found.stderr


def test_schedule_command_reads_redbeat(tmp_path: Path, programs: Programs) -> None:
    """With RedBeat the entries are read from its Redis; without Redis or a scheduler's package the command fails."""
    server = programs.redis()
    make_entries(server, "mine:").close()
    text = f"""
from celery import Celery
app = Celery("proj", broker="{server.url()}")
app.conf.update(beat_scheduler="redbeat.RedBeatScheduler", redbeat_redis_url=app.conf.broker_url,
                redbeat_key_prefix="mine:", redbeat_redis_options={{"retry_period": 0.1}})
"""
    (tmp_path / "proj_red.py").write_text(text, encoding="utf-8")
    found = run_schedule(tmp_path, "--app=proj_red")
    assert 'tasks:\n  "proj.report":\n    expected_interval: 1d\n  "proj.tick":\n    expected_interval: 20s\n' == (
        found.stdout
    )
    assert 0 == found.returncode
    missing = run_schedule(tmp_path, "--app=proj_red", "--scheduler=no_such_package.schedulers:DatabaseScheduler")
    server.stop()
    away = run_schedule(tmp_path, "--app=proj_red")
    for failed, part in ((missing, "no_such_package"), (away, "RedBeatScheduler")):
        assert (2, "", 1) == (failed.returncode, failed.stdout, failed.stderr.count("\n")), failed.stderr
        assert part in failed.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_schedule_command_reads_the_database(tmp_path: Path) -> None:
    """With django-celery-beat the entries are read from the database; without its tables the command fails."""
    python = str(django_python())
    environment = project_environment(tmp_path, "redis://127.0.0.1:1/0")
    prepare_database(tmp_path, python, "redis://127.0.0.1:1/0")
    code = "import sys; from celery_redis_exporter.sources.celery_app import read_schedule; "
    code += "print([(one.task, one.kind, one.seconds) for one in read_schedule('proj')])"
    command = [python, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "[('site.at_0', 'crontab', None), ('site.at_12', 'crontab', None), ('site.hourly', 'interval', 3600.0)]" == (
        found.stdout.strip()
    ), found.stderr
    (tmp_path / "db.sqlite3").unlink()
    failed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "ConfigError: --app proj: the entries of its scheduler django_celery_beat" in failed.stderr
    assert "no such table" in failed.stderr


def make_entries(server: RedisServer, prefix: str) -> Celery:
    """Save entries with RedBeat's own code."""
    app = Celery("proj", broker=server.url(), set_as_current=False)
    app.conf.update(redbeat_redis_url=server.url(), redbeat_key_prefix=prefix)
    plans = {"tick": schedule(20.0), "report": crontab(minute=0, hour=4), "paused": schedule(5.0)}
    for name, plan in plans.items():
        RedBeatSchedulerEntry(name, f"proj.{name}", plan, app=app, enabled=name != "paused").save()
    return app


def test_redbeat(programs: Programs) -> None:
    """RedBeat's entries set their tasks' intervals, changes are followed, and a damaged entry affects only itself."""
    server = programs.redis()
    app = make_entries(server, "mine:")
    flags = ("--redbeat.interval", "1s", "--redbeat.key-prefix", "mine:", "--log.format", "json")
    exporter = programs.listening(server, *flags)
    eventually(lambda: intervals(exporter) == {"proj.tick": 20, "proj.report": 86_400})
    server.command("HSET", "mine:report", "definition", "{")
    RedBeatSchedulerEntry("tick", "proj.tick", schedule(40.0), app=app).save()
    eventually(lambda: intervals(exporter) == {"proj.tick": 40})
    assert 1 == exporter.line("redbeat.entries_unread")["entries"]
    assert 1 == exporter.value("celery_exporter_collector_success", collector="redbeat")
    server.command("DEL", "mine::schedule")
    server.command("SET", "mine::schedule", "of the wrong type")
    eventually(lambda: exporter.value("celery_exporter_collector_success", collector="redbeat") == 0)
    assert 1 == exporter.value("redis_up", redis="broker")
    app.close()


def test_redbeat_needs_a_server(programs: Programs) -> None:
    """A schedule on a server that is not configured is a configuration error."""
    process = programs.run(
        sys.executable, "-m", "celery_redis_exporter", "--redbeat.interval", "1s", "--redbeat.server", "results"
    )
    assert 2 == process.ended(20)
    assert "--redbeat.server: must be a Redis server of these settings (broker)" in process.output()


def test_beat_answers(programs: Programs) -> None:
    """A beat of Celery 5.7 is up while it replies, is down after a kill, and is not counted as a worker."""
    server = programs.redis()
    settings = '{"beat_enable_remote_control": true, "beat_max_loop_interval": 1}'
    environment = {"APPLICATION_BROKER": server.url(), "APPLICATION_SETTINGS": settings}
    schedule_file = str(programs.folder / "beat")
    command = [sys.executable, "-m", "celery", "-A", "tests.integration.worker_app", "beat", "-s", schedule_file]
    beat = programs.run(*command, "--pidfile=", environment=environment)
    programs.worker(server)
    flags = ("--celery.inspect-interval", "1s", "--celery.inspect-timeout", "1s")
    exporter = programs.listening(server, *flags)
    (labels,) = eventually(lambda: exporter.labels("celery_beat_up"))
    assert labels["beat"].startswith("celerybeat@")
    assert 1 == exporter.value("celery_beat_up", **labels)
    beat.kill()
    eventually(lambda: exporter.value("celery_beat_up", **labels) == 0)
