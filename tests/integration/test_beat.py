# SPDX-License-Identifier: Apache-2.0
"""Real beats that report themselves and their schedules with deploy/celery_events.py."""

import os
import signal
import socket
import sys

import pytest

from tests.integration.beats import DATABASE_SCHEDULER, django_python, prepare_database
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT, Process, source_path
from tests.integration.redis_servers import RedisServer
from tests.integration.test_periodic import intervals
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

BEAT = f"celerybeat@{socket.gethostname()}"
REDBEAT = "redbeat.RedBeatScheduler"
APPLICATION = """
import os
import celery_events
from celery import Celery
from celery.schedules import crontab

celery_events.BEAT_SECONDS, celery_events.SCHEDULE_SECONDS = 0.5, 1.0
app = Celery("proj", broker=os.environ["APPLICATION_BROKER"])
app.conf.redbeat_redis_url = app.conf.broker_url
app.conf.beat_schedule = {
    "tick": {"task": "proj.tick", "schedule": 90.0},
    "tick-more": {"task": "proj.tick", "schedule": 45.0},
    "nightly": {"task": "proj.report", "schedule": crontab(minute=0, hour=4)},
    "office": {"task": "proj.mail", "schedule": crontab(minute="*/15", hour="8-17", day_of_week="mon-fri")},
}
"""
CLEANUP = {"celery.backend_cleanup": 86_400}
"""Celery's built-in entry in every schedule."""
INTERVALS = {"proj.tick": 45, "proj.report": 86_400, "proj.mail": 2 * 86_400 + 14.25 * 3600, **CLEANUP}


def start_beat(programs: Programs, server: RedisServer, *arguments: str, python: str = sys.executable) -> Process:
    """Start a beat of APPLICATION, or of the application in ``proj.py`` if that file exists."""
    application = programs.folder / "proj.py"
    if not application.exists():
        application.write_text(APPLICATION, encoding="utf-8")
    path = os.pathsep.join([str(programs.folder), str(ROOT / "deploy"), source_path(ROOT)])
    command = [python, "-m", "celery", "-A", "proj", "beat", "-s", str(programs.folder / "beat"), "--pidfile="]
    return programs.run(*command, *arguments, environment={"APPLICATION_BROKER": server.url(), "PYTHONPATH": path})


def beats(exporter: Exporter) -> dict[str, float]:
    """Return which beats are up."""
    metric = "celery_beat_up"
    return {dict(labels)["beat"]: value for (name, labels), value in exporter.metrics(metric).items() if name == metric}


def test_a_beat_reports_itself_and_its_schedule(programs: Programs) -> None:
    """A beat is up, down while it is suspended, and not shown after its end, but its intervals stay."""
    server = programs.redis()
    exporter = programs.listening(server, "--tasks", '{"proj.report": {"expected_interval": "2d"}}')
    beat = start_beat(programs, server)
    expected = INTERVALS | {"proj.report": 2 * 86_400}
    eventually(lambda: (beats(exporter), intervals(exporter)) == ({BEAT: 1}, expected))
    os.kill(beat.pid, signal.SIGSTOP)
    eventually(lambda: beats(exporter) == {BEAT: 0})
    os.kill(beat.pid, signal.SIGCONT)
    eventually(lambda: beats(exporter) == {BEAT: 1})
    beat.end(8)
    eventually(lambda: beats(exporter) == {})
    assert expected == intervals(exporter)
    assert "Traceback" not in beat.output()


def test_a_killed_beat_is_down(programs: Programs) -> None:
    """A beat that is killed is down."""
    server = programs.redis()
    exporter = programs.listening(server)
    beat = start_beat(programs, server)
    eventually(lambda: beats(exporter) == {BEAT: 1})
    beat.kill()
    eventually(lambda: beats(exporter) == {BEAT: 0})


def test_a_beat_reports_again_when_the_broker_is_back(programs: Programs) -> None:
    """A beat logs once that it can't reach the broker, and reports itself again when the broker is back."""
    server = programs.redis()
    exporter = programs.listening(server)
    beat = start_beat(programs, server)
    eventually(lambda: beats(exporter) == {BEAT: 1})
    server.stop()
    eventually(lambda: "beat can't report itself" in beat.output())
    server.start()
    eventually(lambda: exporter.value("celery_exporter_event_stream_up") == 1)
    eventually(lambda: beats(exporter) == {BEAT: 1})
    assert 1 == beat.output().count("beat can't report itself")


def test_redbeat_reports_all_entries(programs: Programs) -> None:
    """Entries of RedBeat that are not due soon are reported too."""
    server = programs.redis()
    exporter = programs.listening(server)
    start_beat(programs, server, "-S", REDBEAT)
    eventually(lambda: (beats(exporter), intervals(exporter)) == ({BEAT: 1}, INTERVALS))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_database_scheduler_reports_all_entries(programs: Programs) -> None:
    """All enabled entries of django-celery-beat are reported, including those with an hour in the schedule."""
    server = programs.redis()
    exporter = programs.listening(server)
    python = str(django_python())
    prepare_database(programs.folder, python, server.url())
    beat = start_beat(programs, server, "-S", DATABASE_SCHEDULER, python=python)
    eventually(lambda: beats(exporter) == {BEAT: 1})
    expected = {"site.hourly": 3600, "site.at_0": 86_400, "site.at_12": 86_400, **CLEANUP}
    eventually(lambda: intervals(exporter) == expected)
    assert "can't be read" not in beat.output()
