"""``check``: what it finds on real servers, and its exit code."""

import sys

import pytest

from tests.integration.acl import RIGHTS, START, USER
from tests.integration.celery_workers import QUICK, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.processes import Process
from tests.waiting import eventually

pytestmark = pytest.mark.servers

LISTENING = "; listening for"
BEATING = (*QUICK, "--heartbeat-interval", "1")


def check(programs: Programs, url: str, *arguments: str) -> Process:
    """Start the check of a broker."""
    return programs.run(sys.executable, "-m", "exporter", "check", "--broker-url", url, *arguments)


def levels(process: Process) -> list[tuple[str, str]]:
    """Give level and subject of each finding; cures stand on lines of their own."""
    lines = [line for line in process.output().splitlines() if not line.startswith(" ")]
    return [(line[:5].strip(), line[6:25].strip()) for line in lines]


def test_a_healthy_set_up_passes(programs: Programs) -> None:
    """With everything switched on, and exactly the documented rights, every finding is good."""
    server = programs.redis()
    server.command("ACL", "SETUSER", USER, *START, *RIGHTS)
    programs.worker(server, options=WorkerOptions(arguments=BEATING))
    process = check(programs, server.url(user=USER, password="PASSWORD"))
    process.wait_for(LISTENING)
    programs.publisher(server).send_task("plain")
    assert process.ended(20) == 0
    subjects = ["settings", "redis broker", "redis broker", "events", "workers", "task events", "task-sent"]
    assert [("OK", subject) for subject in subjects] == levels(process), process.output()


def test_workers_without_task_events_fail(programs: Programs) -> None:
    """Workers that work and send no task events are a failure, with its cure."""
    server = programs.redis()
    programs.worker(server, options=WorkerOptions(events=False, arguments=BEATING))
    process = check(programs, server.url())
    process.wait_for(LISTENING)
    app = programs.publisher(server)
    eventually(lambda: app.send_task("plain") and process.exit_code is not None, within=20)
    assert process.ended() == 1
    assert ("FAIL", "task events") in levels(process), process.output()
    assert "worker_send_task_events" in process.output()


def test_missing_rights_and_task_sent_are_warnings(programs: Programs) -> None:
    """Missing rights are named, as is the setting that makes publishers send events; neither is a failure."""
    server = programs.redis()
    rights = [right for right in RIGHTS if right not in {"+slowlog|get", "+lindex"}]
    server.command("ACL", "SETUSER", USER, *START, *rights)
    programs.worker(server, options=WorkerOptions(arguments=BEATING))
    process = check(programs, server.url(user=USER, password="PASSWORD"))
    process.wait_for(LISTENING)
    programs.publisher(server, task_send_sent_event=False).send_task("plain")
    assert process.ended(20) == 0
    found = levels(process)
    assert ("WARN", "redis broker") in found
    assert "metrics stay empty: lindex, slowlog|get" in process.output()
    assert ("WARN", "task-sent") in found, process.output()
    assert "task_send_sent_event = True" in process.output()


def test_silence_is_a_warning(programs: Programs) -> None:
    """Messages that can't be read and the absence of workers are warnings."""
    server = programs.redis()
    process = check(programs, server.url())
    process.wait_for(LISTENING)
    server.command("PUBLISH", "/0.celeryev/task.multi", "garbage")
    assert process.ended(20) == 0
    assert [("WARN", "events"), ("WARN", "workers")] == levels(process)[-2:], process.output()


def test_an_absent_server_fails(programs: Programs) -> None:
    """A server that is not there is a failure with its reason."""
    server = programs.redis()
    server.stop()
    process = check(programs, server.url())
    assert process.ended(20) == 1
    assert ("FAIL", "redis broker") in levels(process)
    assert ("FAIL", "events") in levels(process)
    assert "refused" in process.output()


def test_a_hanging_server_fails(programs: Programs) -> None:
    """A server that answers nothing is a failure too, and does not hold the check up."""
    server = programs.redis()
    server.freeze()
    process = check(programs, server.url(), "--events.idle-timeout", "1s", "--scrape.deadline", "500ms")
    assert process.ended(20) == 1
    assert {("FAIL", "redis broker"), ("FAIL", "events")} <= set(levels(process)), process.output()
    assert "timeout" in process.output()


def test_an_evicting_broker_is_a_warning(programs: Programs) -> None:
    """A broker that may evict queues is warned of, and so is a user who may not subscribe."""
    server = programs.redis(options=("--maxmemory-policy", "allkeys-lru"))
    server.command("ACL", "SETUSER", USER, *START, *(right for right in RIGHTS if right != "+psubscribe"))
    process = check(programs, server.url(user=USER, password="PASSWORD"))
    assert process.ended(20) == 1
    assert "allkeys-lru" in process.output()
    assert ("FAIL", "events") in levels(process)
    assert "+psubscribe" in process.output()
