# SPDX-License-Identifier: Apache-2.0
"""``check``: a printed line is applied unchanged, and then the finding is gone."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.integration.celery_workers import BEATING, QUICK, Worker, WorkerOptions
from tests.integration.checks import SOUND, check_quickly, findings_of, start_check
from tests.integration.conftest import Programs
from tests.integration.processes import ROOT, clean_environment
from tests.integration.redis_servers import PROGRAM, RedisServer
from tests.integration.remedied_app import read_lines
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

FORMS = pytest.mark.parametrize("namespace", ["", "CELERY"], ids=["plain", "django"])
Found = dict[str, dict[str, Any]]


def pasted(lines: list[str], namespace: str) -> str:
    """Return lines for Celery's settings as a reader pastes them: whole, or only their part for Django."""
    return "\n".join(line.partition("Django's settings: ")[2] if namespace else line for line in lines)


def remedied(programs: Programs, server: RedisServer, lines: list[str], namespace: str, **options: Any) -> Worker:  # noqa: ANN401 -- WorkerOptions checks them
    """Start a worker with lines in its settings."""
    environment = {"APPLICATION_LINES": pasted(lines, namespace), "APPLICATION_NAMESPACE": namespace}
    app = "tests.integration.remedied_app"
    return programs.worker(server, options=WorkerOptions(app=app, environment=environment, **options))


def check_at_work(programs: Programs, server: RedisServer, app: Celery, *arguments: str) -> Found:
    """Check a broker, and publish tasks until the check ends."""
    process = start_check(programs, server.url(), "--json", "--listen=5s", *arguments)
    eventually(lambda: app.send_task("plain") and process.exit_code is not None)
    return findings_of(process)


def run(line: str, server: RedisServer, settings: Mapping[str, Any]) -> None:
    """Run a printed line of the ``celery`` program for this application, and wait for its end."""
    environment = clean_environment() | {
        "APPLICATION_BROKER": server.url(), "APPLICATION_SETTINGS": "{}", **settings,
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    words = shlex.split(line.replace("--app=APP", "--app=tests.integration.worker_app"))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@FORMS
def test_another_serializer(programs: Programs, namespace: str) -> None:
    """Events in pickle can be read after the printed line is in the worker's settings."""
    server = programs.redis(options=SOUND)
    pickled = {"event_serializer": "pickle"}
    worker = programs.worker(server, options=WorkerOptions(settings=pickled, arguments=BEATING))
    app = programs.publisher(server)
    found = check_at_work(programs, server, app)
    assert "events-unreadable" in found
    worker.process.end()
    remedied(programs, server, found["events-unreadable"]["remedy"], namespace, settings=pickled, arguments=BEATING)
    found = check_at_work(programs, server, app)
    assert not {"events-unreadable", "events-all-unreadable"} & found.keys()
    assert "task-events-on" in found


@FORMS
def test_task_events_are_off(programs: Programs, namespace: str) -> None:
    """A worker without -E sends task events after the printed line is in its settings."""
    server = programs.redis(options=SOUND)
    worker = programs.worker(server, options=WorkerOptions(events=False, arguments=BEATING))
    app = programs.publisher(server)
    line = check_at_work(programs, server, app)["task-events-off"]["remedy"][0]
    worker.process.end()
    remedied(programs, server, [line], namespace, events=False, arguments=BEATING)
    found = check_at_work(programs, server, app)
    assert "task-events-off" not in found
    assert "task-events-on" in found


def test_task_events_are_switched_on_by_a_command(programs: Programs) -> None:
    """A worker without -E sends task events after the printed command is run, without a restart."""
    server = programs.redis(options=SOUND)
    programs.worker(server, options=WorkerOptions(events=False, arguments=BEATING))
    app = programs.publisher(server)
    run(check_at_work(programs, server, app)["task-events-off"]["remedy"][1], server, {})
    found = check_at_work(programs, server, app)
    assert "task-events-off" not in found
    assert "task-events-on" in found


@FORMS
def test_task_sent_is_off(programs: Programs, namespace: str) -> None:
    """A publisher sends task-sent after the printed line is in its settings."""
    server = programs.redis(options=SOUND)
    programs.worker(server, options=WorkerOptions(arguments=BEATING))
    app = programs.publisher(server, task_send_sent_event=False)
    lines = check_at_work(programs, server, app)["task-sent-off"]["remedy"]
    app = programs.publisher(server, **read_lines(pasted(lines, namespace), namespace))
    found = check_at_work(programs, server, app)
    assert "task-sent-off" not in found
    assert "task-sent-on" in found


def test_another_separator(programs: Programs) -> None:
    """Bindings with another separator are read with the printed flag."""
    server = programs.redis(options=SOUND)
    options = {"broker_transport_options": {"sep": ":"}}
    programs.worker(server, options=WorkerOptions("mail", settings=options, arguments=BEATING))
    quick = ("--json", "--listen=2s", "--celery.inspect-interval=0")  # otherwise workers report their separator
    found = findings_of(start_check(programs, server.url(), *quick))
    (line,) = found["queues-other-separator"]["remedy"]
    assert "queues-other-separator" not in findings_of(start_check(programs, server.url(), *quick, *shlex.split(line)))


@FORMS
def test_remote_control_is_off(programs: Programs, namespace: str) -> None:
    """A worker without remote control replies after the printed lines are in its settings."""
    server = programs.redis(options=SOUND)
    settings = {"worker_enable_remote_control": False}
    worker = programs.worker(server, options=WorkerOptions(settings=settings, arguments=BEATING))
    quick = ("--json", "--listen=3s", "--celery.inspect-timeout", "1s")
    lines = findings_of(start_check(programs, server.url(), *quick))["control-silent"]["remedy"]
    worker.process.end()
    remedied(programs, server, lines, namespace, settings=settings, arguments=BEATING)
    assert "control-answers" in findings_of(start_check(programs, server.url(), "--json", "--listen=3s"))


def test_heartbeats_are_off(programs: Programs) -> None:
    """A worker that is started with the printed command sends heartbeats."""
    server = programs.redis(options=SOUND)
    silent = WorkerOptions(arguments=(*QUICK, "--without-heartbeat"))
    worker = programs.worker(server, options=silent)
    app = programs.publisher(server)
    (line,) = check_at_work(programs, server, app)["worker-heartbeats-off"]["remedy"]
    assert "celery --app=APP worker -E" == line
    worker.process.end()
    programs.worker(server, options=WorkerOptions(events=True))  # adds -E, a name and a queue
    assert "worker-heartbeats-off" not in check_at_work(programs, server, app)


def test_a_queue_that_no_worker_consumes(programs: Programs) -> None:
    """A worker that is started with the printed queue consumes the waiting messages."""
    server = programs.redis(options=SOUND)
    programs.worker(server, "first", options=WorkerOptions(arguments=BEATING))
    app = programs.publisher(server)
    app.send_task("plain", queue="forgotten")
    (line,) = findings_of(start_check(programs, server.url(), "--json", "--listen=3s"))["queue-unconsumed"]["remedy"]
    queue = shlex.split(line)[-1]
    programs.worker(server, "second", options=WorkerOptions(queue, arguments=BEATING))
    eventually(lambda: server.command("LLEN", "forgotten") == 0)
    assert "queue-unconsumed" not in findings_of(start_check(programs, server.url(), "--json", "--listen=3s"))


def test_as_many_clients_as_a_server_takes(programs: Programs) -> None:
    """A server that is started with the printed line accepts the exporter's connections."""
    full = programs.redis(options=(*SOUND, "--maxclients", "1"))
    with full.client() as client:
        client.ping()
        (line,) = check_quickly(programs, full.url())["redis-maxclients"]["remedy"]
    option, value = shlex.split(line, comments=True)
    server = programs.redis(options=(*SOUND, f"--{option}", value))
    with server.client() as client:
        client.ping()
        assert "redis-answers" in check_quickly(programs, server.url())


def test_protected_mode(tmp_path: Path) -> None:
    """The printed lines set a password on the server's machine, with which the exporter is no longer refused."""
    namespace = ["unshare", "--user", "--map-root-user", "--net"]
    if not shutil.which("ip") or subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here, and the machine has localhost only")
    script = ROOT / "tests" / "integration" / "protected_mode.sh"
    command = [*namespace, "bash", str(script), sys.executable, PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (
        {found["code"]: found for found in json.loads(line)["findings"]} for line in done.stdout.splitlines()
    )
    assert ("fail", "redis-answers" in before) == (before["redis-denied"]["level"], False)
    assert "OK" == (tmp_path / "answer").read_text(encoding="utf-8").strip()
    assert ("redis-denied" in after, after["redis-answers"]["level"]) == (False, "ok")
