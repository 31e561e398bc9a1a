# SPDX-License-Identifier: Apache-2.0
"""The command ``check``: its output for people and scripts, and its exit codes."""

import json
import signal
import sys
from base64 import b64encode
from typing import Any

import pytest

from celery_redis_exporter.cli.check.finding import celery_setting
from tests.integration.acl import CONTROL_RIGHTS, RIGHTS, START, USER, rights_of_newer
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.checks import (
    LISTENING,
    LIVELY,
    SOUND,
    apply_remedy,
    check_quickly,
    findings_of,
    levels,
    start_check,
)
from tests.integration.conftest import Programs
from tests.integration.eventless_tasks import EVENTLESS
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
EVENTLESS_TASKS = {"imports": ["tests.integration.eventless_tasks"]}


def test_a_healthy_set_up_passes(programs: Programs) -> None:
    """If everything is enabled, exactly the documented permissions pass the check, even with --strict."""
    server = programs.redis(options=SOUND)
    server.command("ACL", "SETUSER", USER, *START, *RIGHTS, *CONTROL_RIGHTS, *rights_of_newer(server))
    programs.worker(server, options=LIVELY)
    process = start_check(programs, server.url(user=USER, password="PASSWORD"), "--strict")
    process.wait_for(LISTENING)
    programs.publisher(server).send_task("plain")
    assert process.ended(30) == 0, process.output()
    subjects = ["settings", "web", "redis broker", "redis broker", "events", "workers", "task events", "task-sent"]
    assert [("OK", subject) for subject in [*subjects, "control"]] == levels(process), process.output()
    assert "nothing to fix; exit code 0" == process.output().splitlines()[-1]
    assert [] == [key for key in server.command("KEYS", "*") if b"reply" in key]


def test_workers_without_task_events_fail(programs: Programs) -> None:
    """A worker that processes tasks without task events fails the check, which prints its name and the remedy."""
    server = programs.redis()
    worker = programs.worker(server, options=WorkerOptions(events=False, arguments=BEATING))
    process = start_check(programs, server.url(), "--json")
    app = programs.publisher(server)
    eventually(lambda: app.send_task("plain") and process.exit_code is not None)
    found = findings_of(process)
    assert process.exit_code == 1
    assert worker.name in found["task-events-off"]["found"]
    assert celery_setting("worker_send_task_events", "True") in found["task-events-off"]["remedy"]
    assert f"celery --app=APP control --destination={worker.name} enable_events" in found["task-events-off"]["remedy"]


def test_a_worker_that_executes_tasks_without_events_passes(programs: Programs) -> None:
    """A worker that executes only tasks with send_events=False passes the check."""
    server = programs.redis()
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING, settings=EVENTLESS_TASKS))
    process = start_check(programs, server.url(), "--json")
    app = programs.publisher(server)
    eventually(lambda: app.send_task(EVENTLESS) and process.exit_code is not None)
    found = findings_of(process)
    assert worker.name in found["task-events-eventless"]["found"]
    assert "task-events-off" not in found
    assert process.exit_code == 0


def test_missing_rights_are_named_and_granted_by_the_line(programs: Programs) -> None:
    """Missing permissions are a warning that lists the missing metrics, and the printed line grants them."""
    server = programs.redis(options=SOUND)
    rights = set(RIGHTS) - {"+slowlog|get", "+lindex"}
    server.command("ACL", "SETUSER", USER, *START, *rights, *rights_of_newer(server))
    url = server.url(user=USER, password="PASSWORD")
    (finding,) = [found for code, found in check_quickly(programs, url).items() if code == "redis-rights-missing"]
    assert "refused: lindex, slowlog|get" in finding["found"]
    assert "celery_queue_oldest_message_age_seconds" in finding["found"]
    assert "PASSWORD" not in json.dumps(finding)
    apply_remedy(finding)
    assert "redis-rights-granted" in check_quickly(programs, url)


def test_a_user_who_may_not_subscribe_is_let_by_the_line(programs: Programs) -> None:
    """Without PSUBSCRIBE the check fails, and it passes after its printed line was run."""
    server = programs.redis(options=SOUND)
    server.command("ACL", "SETUSER", USER, *START, *(set(RIGHTS) - {"+psubscribe", "&/0.celeryev/*"}))
    url = server.url(user=USER, password="PASSWORD")
    found = check_quickly(programs, url)
    assert "fail" == found["events-denied"]["level"]
    apply_remedy(found["events-denied"])
    assert "events-subscribed" in check_quickly(programs, url)


def test_silence_is_a_warning(programs: Programs) -> None:
    """Some unreadable messages or no workers are warnings, which fail the check only with --strict."""
    server = programs.redis(options=SOUND)
    custom = b64encode(b'{"type": "custom-event"}').decode()
    readable = json.dumps({"body": custom, "content-encoding": "utf-8", "content-type": "application/json"})
    cases: tuple[tuple[tuple[str, ...], tuple[str, ...], int, str], ...] = (
        ((), ("garbage", readable), 0, "WARN"),
        (("--strict",), ("garbage", readable), 1, "WARN"),
        ((), ("garbage",), 1, "FAIL"),  # no message can be read
    )
    for strict, messages, code, level in cases:
        process = start_check(programs, server.url(), "--listen", "2s", *strict)
        process.wait_for(LISTENING)
        for message in messages:
            server.command("PUBLISH", "/0.celeryev/task.multi", message)
        assert code == process.ended(20)
        assert [(level, "events"), ("WARN", "workers")] == levels(process)[-2:], process.output()


def test_nothing_is_heard_where_nobody_listens(programs: Programs) -> None:
    """With --listen=0 the subscription is tested, and no finding is about workers."""
    server = programs.redis(options=SOUND)
    found = check_quickly(programs, server.url())
    assert "events-subscribed" in found
    assert [] == [code for code in found if code.startswith(("workers", "task", "control", "queue"))]


@pytest.mark.parametrize("arguments", [("--broker-urls", "x"), ("--listen", "soon"), ("--scrape.deadline=-1",)])
def test_wrong_settings_are_a_finding_too(programs: Programs, arguments: tuple[str, ...]) -> None:
    """An invalid flag or value returns 2, with one line of text or, with --json, one document."""
    command = (sys.executable, "-m", "celery_redis_exporter", "check", *arguments)
    found = findings_of(programs.run(*command, "--json"))
    assert ["settings-wrong"] == list(found)
    assert arguments[0].partition("=")[0] in found["settings-wrong"]["found"]
    plain = programs.run(*command)
    assert plain.ended() == 2
    assert 1 == len(plain.output().splitlines())


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_an_interrupt_ends_it_with_what_was_found(programs: Programs, form: tuple[str, ...]) -> None:
    """Ctrl-C during the check prints the findings so far and returns 130."""
    server = programs.redis(options=SOUND)
    process = start_check(programs, server.url(), "--listen", "1h", *form)
    eventually(server.is_heard)
    process.signal(signal.SIGINT)
    assert process.ended() == 130, process.output()
    if form:
        assert json.loads(process.output())["interrupted"]
        assert "redis-answers" in findings_of(process)
    else:
        assert ("OK", "redis broker") in levels(process)
        assert "interrupted" in process.output().splitlines()[-1]
    assert "Traceback" not in process.output()


def test_a_terminal_gets_colour_and_its_width(programs: Programs) -> None:
    """On a terminal of 80 columns no line is longer, and levels are coloured unless NO_COLOR is set."""
    server = programs.redis()
    for environment, colored in (({}, True), ({"NO_COLOR": "1"}, False)):
        check = f"{sys.executable} -m celery_redis_exporter check --broker-url {server.url()} --listen 0"
        command = ("script", "--quiet", "--return", "--command", f"stty cols 80; {check}", "/dev/null")
        process = programs.run(*command, environment={**environment, "TERM": "xterm"})
        assert process.ended() == 0
        text = process.output()
        assert colored == ("\033[33mWARN" in text)
        lines = text.replace("\033[33m", "").replace("\033[32m", "").replace("\033[0m", "").splitlines()
        assert max(map(len, lines)) <= 80, text
        assert "redis-persistence" in text


def test_a_terminal_shows_that_the_check_listens(programs: Programs) -> None:
    """A terminal shows the remaining time and the received messages of the check, and a pipe does not."""
    server = programs.redis()
    check = f"{sys.executable} -m celery_redis_exporter check --broker-url {server.url()} --listen 1s"
    process = programs.run(
        "script", "--quiet", "--return", "--command", check, "/dev/null", environment={"TERM": "xterm"}
    )
    process.ended(30)
    assert "listening to events for 1 s more; 0 messages so far" in process.output()
    piped = programs.run("bash", "-c", f"{check} 2>&1 | cat")
    piped.ended(30)
    assert "more;" not in piped.output()


def test_the_daily_checklist_of_an_exporter(programs: Programs) -> None:
    """With an exporter's URL its report is used; a lost worker fails it, and so does a broker that takes no writes."""
    server = programs.redis(options=SOUND)
    exporter = programs.listening(server, "--workers.lost-after=3s")
    worker = programs.worker(server, options=LIVELY)
    app = programs.publisher(server)
    for _ in range(3):
        app.send_task("counted")
    eventually(lambda: exporter.value("celery_tasks_total", task="counted", queue="celery", state="success") == 3)
    eventually(lambda: exporter.get("/-/ready").status == 200)
    url = f"http://127.0.0.1:{exporter.port}"

    def checked(*flags: str) -> tuple[int | None, dict[str, dict[str, Any]]]:
        process = programs.run(sys.executable, "-m", "celery_redis_exporter", "check", url, "--json", *flags)
        found = findings_of(process)
        return process.exit_code, found

    code, found = checked()
    assert code == 0
    assert {"daily-workers-online", "daily-queues-short", "daily-memory-low", "daily-no-errors"} <= found.keys()
    assert "1 online, none is lost" == found["daily-workers-online"]["found"]
    worker.process.kill()
    eventually(lambda: checked()[0] == 1)
    assert "daily-workers-lost" in checked()[1]
    assert "daily-critical" not in checked()[1]
    server.command("REPLICAOF", "127.0.0.1", 1)
    eventually(lambda: "daily-critical" in checked()[1])
    assert "read-only replicas, to which Celery can't write: broker" in checked()[1]["daily-critical"]["found"]
    process = programs.run(sys.executable, "-m", "celery_redis_exporter", "check", url, "--queues.max=3")
    assert 2 == process.ended(30)
    assert "check: with the URL of an exporter there are no settings: --queues.max" in process.output()
