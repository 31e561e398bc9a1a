# SPDX-License-Identifier: Apache-2.0
"""``check``: its findings about workers, publishers and queues."""

import pytest

from celery_redis_exporter.cli.check.finding import celery_setting
from tests.integration.acl import RIGHTS, START, USER
from tests.integration.celery_versions import install, python_of
from tests.integration.celery_workers import QUICK, WorkerOptions
from tests.integration.checks import LISTENING, LIVELY, SOUND, apply_remedy, check_quickly, findings_of, start_check
from tests.integration.conftest import Programs
from tests.integration.faults import shifted
from tests.integration.redis_servers import SUBSCRIBER
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def test_task_sent_is_missed(programs: Programs) -> None:
    """Publishers without task-sent events are a warning with the setting that enables them."""
    server = programs.redis(options=SOUND)
    programs.worker(server, options=LIVELY)
    process = start_check(programs, server.url(), "--json")
    app = programs.publisher(server, task_send_sent_event=False)
    eventually(lambda: app.send_task("plain") and process.exit_code is not None)
    found = findings_of(process)
    assert [celery_setting("task_send_sent_event", "True")] == found["task-sent-off"]["remedy"]
    assert "task-events-on" in found


def test_workers_on_another_database_are_found(programs: Programs) -> None:
    """If the workers use another database, the check prints the broker URL with which it receives their events."""
    server = programs.redis(options=SOUND)

    class Elsewhere:
        """The server, with the URL of database 3."""

        url = staticmethod(lambda: server.url(3))

    programs.worker(Elsewhere(), options=LIVELY)
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=2s"))
    assert {"workers-unheard", "events-other-database"} <= found.keys()
    (line,) = found["events-other-database"]["remedy"]
    assert f"--broker-url=redis://127.0.0.1:{server.port}/3" == line
    found = findings_of(start_check(programs, line.partition("=")[2], "--json", "--listen=3s"))
    assert {"workers-seen", "control-answers"} <= found.keys()


def test_workers_with_another_prefix_are_found(programs: Programs) -> None:
    """If the workers use a key prefix, the check prints the flag with which it receives their events."""
    server = programs.redis(options=SOUND)
    options = {"broker_transport_options": {"global_keyprefix": "shop."}}
    programs.worker(server, options=WorkerOptions(settings=options, arguments=LIVELY.arguments))
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=2s"))
    (line,) = found["events-other-prefix"]["remedy"]
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=3s", line))
    assert {"workers-seen", "control-answers"} <= found.keys()


def test_a_queue_without_consumers_is_found(programs: Programs) -> None:
    """Messages in a queue without consumers are a finding with the queue's name, but not those in a consumed queue."""
    server = programs.redis(options=SOUND)
    programs.worker(server, options=LIVELY)
    app = programs.publisher(server)
    for _ in range(3):
        app.send_task("plain", queue="forgotten")
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=3s"))
    assert "3 messages wait in forgotten, and no worker consumes it" == found["queue-unconsumed"]["found"]
    assert ["celery --app=APP worker -E -Q forgotten"] == found["queue-unconsumed"]["remedy"]


def test_tasks_that_no_worker_reports_are_found(programs: Programs) -> None:
    """Tasks of a worker that sends no events are reported if another worker sends events."""
    server = programs.redis(options=SOUND)
    programs.worker(server, "loud", options=LIVELY)
    quiet = WorkerOptions("unseen", events=False, arguments=("--without-heartbeat", *LIVELY.arguments))
    programs.worker(server, "quiet", options=quiet)
    process = start_check(programs, server.url(), "--json")
    app = programs.publisher(server)
    eventually(
        lambda: app.send_task("plain") and app.send_task("late", queue="unseen") and process.exit_code is not None
    )
    found = findings_of(process)
    assert found["tasks-unreceived"]["found"].endswith(": late (unseen)")
    assert "task-events-on" in found


def test_workers_that_do_not_answer_are_found(programs: Programs) -> None:
    """A worker without remote control is reported, and no finding claims that a queue has no consumers."""
    server = programs.redis(options=SOUND)
    settings = {"worker_enable_remote_control": False}
    worker = programs.worker(server, options=WorkerOptions(settings=settings, arguments=LIVELY.arguments))
    programs.publisher(server).send_task("plain", queue="forgotten")
    quick = ("--listen=3s", "--celery.inspect-timeout", "1s")
    found = findings_of(start_check(programs, server.url(), "--json", *quick))
    assert worker.name in found["control-silent"]["found"]
    assert "queue-consumers-unknown" in found
    assert "queue-unconsumed" not in found


def test_questions_need_rights_or_none(programs: Programs) -> None:
    """Without permission to query workers a note has the line that grants it, and an interval of 0 disables it."""
    server = programs.redis(options=SOUND)
    server.command("ACL", "SETUSER", USER, *START, *RIGHTS)
    programs.worker(server, options=LIVELY)
    url = server.url(user=USER, password="PASSWORD")
    found = findings_of(start_check(programs, url, "--json", "--listen=3s"))
    assert "note" == found["control-denied"]["level"]
    apply_remedy(found["control-denied"])
    assert "control-answers" in findings_of(start_check(programs, url, "--json", "--listen=3s"))
    found = findings_of(start_check(programs, url, "--json", "--listen=3s", "--celery.inspect-interval=0"))
    assert "control-off" in found
    assert "control-answers" not in found


def test_two_workers_of_one_name_are_found(programs: Programs) -> None:
    """Two processes with the same node name are reported with both process ids."""
    server = programs.redis(options=SOUND)
    pids = [programs.worker(server, options=LIVELY).process.pid for _ in range(2)]
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=5s"))
    assert all(str(pid) in found["worker-name-twice"]["found"] for pid in pids)


def test_workers_without_heartbeats_are_found(programs: Programs) -> None:
    """A worker that is started without heartbeats is reported with its name."""
    server = programs.redis(options=SOUND)
    worker = programs.worker(server, options=WorkerOptions(arguments=(*QUICK, "--without-heartbeat")))
    process = start_check(programs, server.url(), "--json", "--listen=5s")
    app = programs.publisher(server)
    eventually(lambda: app.send_task("plain") and process.exit_code is not None)
    assert worker.name in findings_of(process)["worker-heartbeats-off"]["found"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_workers_whose_celery_loses_events_are_found(programs: Programs) -> None:
    """A worker of Celery 5.6 with the pool threads is reported with both, and one with prefork is not."""
    install(["5.6"])
    server = programs.redis(options=SOUND)
    for name, pool in (("losing", "threads"), ("sound", "prefork")):
        options = WorkerOptions(arguments=(*LIVELY.arguments, "-P", pool), python=str(python_of("5.6")))
        programs.worker(server, name, options)
    found = findings_of(start_check(programs, server.url(), "--json", "--listen=3s"))
    assert found["worker-events-lost-by-celery"]["found"].startswith("losing@")
    assert "Celery 5.6.3 with the pool threads" in found["worker-events-lost-by-celery"]["found"]
    assert "worker-celery-old" not in found


def test_many_exporters_are_noted(programs: Programs) -> None:
    """Up to two exporters beside the check are accepted, and a third is a note."""
    server = programs.redis(options=SOUND)
    for _ in range(3):
        programs.listening(server, "--celery.inspect-interval=0")
        found = findings_of(start_check(programs, server.url(), "--json", "--listen=1s"))
        clients = server.command("CLIENT", "LIST", "TYPE", "pubsub").decode().count(SUBSCRIBER)
        assert (clients > 2) == ("exporters-many" in found)


def test_a_check_beside_workers_leaves_nothing(programs: Programs) -> None:
    """After a check the server has the same keys as before, and no connection of the check."""
    server = programs.redis(options=SOUND)
    programs.worker(server, options=LIVELY)
    before = server.command("KEYS", "*")
    process = start_check(programs, server.url(), "--listen=3s")
    process.wait_for(LISTENING)
    assert process.ended(20) == 0
    assert "OK    control" in process.output()
    assert sorted(before) == sorted(server.command("KEYS", "*"))
    assert "celery-redis-exporter" not in server.command("CLIENT", "LIST").decode()
    assert "" == check_quickly(programs, server.url())["events-subscribed"]["cause"]


def test_a_clock_that_is_off_is_found(programs: Programs) -> None:
    """A worker whose clock is an hour behind is reported with the difference."""
    server = programs.redis(options=SOUND)
    programs.worker(server, options=LIVELY)
    environment, shift = shifted(programs.folder)
    shift.write_text("3600", encoding="utf-8")
    process = start_check(programs, server.url(), "--json", "--listen=3s", environment=environment)
    assert "3600 s behind" in findings_of(process)["worker-clock-skew"]["found"]
