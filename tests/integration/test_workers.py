# SPDX-License-Identifier: Apache-2.0
"""Workers as shown by their heartbeats, by missing heartbeats, and by the reports of their stop."""

import signal
from pathlib import Path

import celery
import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.celery_workers import QUICK, WorkerOptions
from tests.integration.conftest import Programs, Shared
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, Exporter, times
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

QUICK_BEAT = (*QUICK, "--heartbeat-interval", "1")
BEATING = WorkerOptions(arguments=QUICK_BEAT)
LOST_SECONDS = 3.0
"""The seconds until a worker is lost, with an interval of 1 s and a lost_after of 1 s: three intervals."""


def states(exporter: Exporter) -> dict[str, float | None]:
    """Return the number of workers by state."""
    return {state: exporter.value("celery_workers", state=state) for state in ("online", "lost", "offline")}


def test_worker_states_are_there_without_a_worker(programs: Programs) -> None:
    """All worker states are shown as 0 before the first worker starts."""
    exporter = programs.listening(programs.redis())
    assert {"online": 0, "lost": 0, "offline": 0} == states(exporter)


def test_heartbeats_show(shared: Shared) -> None:
    """The values of a heartbeat are shown for its worker."""
    name, exporter = shared.worker.name, shared.exporter
    eventually(lambda: exporter.value("celery_worker_load_average", worker=name, period="1m") is not None)
    for period in ("5m", "15m"):
        assert exporter.value("celery_worker_load_average", worker=name, period=period) is not None
    assert exporter.value("celery_worker_up", worker=name) == 1
    assert exporter.value("celery_worker_heartbeat_interval_seconds", worker=name) == 2
    assert exporter.value("celery_worker_starts_total", worker=name) == 1
    seen = exporter.value("celery_worker_last_heartbeat_timestamp_seconds", worker=name)
    assert seen is not None
    assert abs(SystemClock().now() - seen) < 10
    skew = exporter.value("celery_worker_clock_skew_seconds", worker=name)
    assert skew is not None
    assert abs(skew) < 5
    info = {"worker": name, "version": celery.__version__, "software": "py-celery"}
    assert [info] == [
        {label: text for label, text in labels.items() if label != "system"}
        for labels in exporter.labels("celery_worker_info")
    ]


def test_workers_count_what_they_do(shared: Shared, tmp_path: Path) -> None:
    """Active and processed are the worker's own values, and none of its events is missed."""
    name, exporter = shared.worker.name, shared.exporter
    before = exporter.value("celery_worker_tasks_processed_total", worker=name) or 0
    gate = tmp_path / "gate"
    shared.send("hold", str(gate))
    eventually(lambda: exporter.value("celery_worker_tasks_active", worker=name) == 1)
    assert (exporter.value("celery_worker_tasks_processed_total", worker=name) or 0) > before
    gate.touch()
    eventually(lambda: exporter.value("celery_worker_tasks_active", worker=name) == 0)
    assert exporter.value("celery_worker_events_missed_total", worker=name) == 0
    assert exporter.value("celery_worker_task_events_enabled", worker=name) == 1


def test_killed_workers_are_lost_and_kept(programs: Programs, tmp_path: Path) -> None:
    """A worker that stopped sending heartbeats is down after the timeout, keeps its series, and may come back."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.lost-after", "1s")
    worker = programs.worker(server, "mortal", BEATING)
    app = programs.publisher(server)
    app.send_task("hold", (str(tmp_path / "never"),))
    eventually(lambda: exporter.value("celery_tasks_running", task="hold", queue="celery") == 1)
    interval = "celery_worker_heartbeat_interval_seconds"
    eventually(lambda: exporter.value(interval, worker=worker.name) == 1)
    worker.process.kill()
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 0)
    seen = exporter.value("celery_worker_last_heartbeat_timestamp_seconds", worker=worker.name)
    assert seen is not None
    assert SystemClock().now() - seen >= LOST_SECONDS
    assert {"online": 0, "lost": 1, "offline": 0} == states(exporter)
    assert exporter.value(interval, worker=worker.name) == 1
    assert exporter.value("celery_worker_tasks_active", worker=worker.name) is None
    assert exporter.value("celery_tasks_running", task="hold", queue="celery") == 0
    programs.worker(server, "mortal", BEATING)
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 1)
    assert {"online": 1, "lost": 0, "offline": 0} == states(exporter)
    assert exporter.value("celery_worker_starts_total", worker=worker.name) == 2


@pytest.mark.parametrize("pool", ["prefork", "gevent", "eventlet"])
def test_stopped_workers_leave(programs: Programs, pool: str) -> None:
    """A worker that reported its stop leaves no series that could page, even if it sends a heartbeat afterwards."""
    server = programs.redis()
    exporter = programs.listening(server)
    worker = programs.worker(server, "polite", WorkerOptions(arguments=(*QUICK_BEAT, "-P", pool)))
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 1)
    worker.process.signal(signal.SIGTERM)
    worker.process.ended()
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) is None)
    eventually(lambda: states(exporter) == {"online": 0, "lost": 0, "offline": 1})
    assert [] == exporter.labels("celery_worker_last_heartbeat_timestamp_seconds")


def test_a_worker_that_reconnects_goes_on(programs: Programs, tmp_path: Path) -> None:
    """A task runs on, and counts once, while its worker loses its connection, reports its stop and connects again."""
    server = programs.redis()
    exporter = programs.listening(server)
    worker = programs.worker(server, "restless", BEATING)
    gate = tmp_path / "gate"
    programs.publisher(server).send_task("hold", (str(gate),))
    running = ("celery_tasks_running", {"task": "hold", "queue": "celery"})
    eventually(lambda: exporter.value(running[0], **running[1]) == 1)
    eventually(lambda: exporter.value("celery_worker_tasks_active", worker=worker.name) == 1)
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    eventually(lambda: exporter.value("celery_worker_starts_total", worker=worker.name) == 2)
    eventually(lambda: exporter.value("celery_worker_tasks_active", worker=worker.name) == 1)
    assert 1 == exporter.value(running[0], **running[1])
    assert exporter.value("celery_task_oldest_started_timestamp_seconds", task="hold") is not None
    gate.touch()
    exporter.agrees("hold", times(1, ONE_SUCCESS))


def test_a_solo_worker_that_stops_cold_executes_nothing(programs: Programs, tmp_path: Path) -> None:
    """A solo worker reports its stop before the start of the task that it executes, which does not run for ever."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.lost-after", "1s")
    worker = programs.worker(server, "alone", WorkerOptions(arguments=(*QUICK_BEAT, "-P", "solo")))
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 1)
    programs.publisher(server).send_task("hold", (str(tmp_path / "never"),))
    eventually(lambda: exporter.value("celery_queue_length", queue="celery") == 0)
    worker.process.signal(signal.SIGQUIT)
    worker.process.ended()
    eventually(lambda: exporter.value("celery_tasks_started_total", task="hold", queue="celery") == 1)
    eventually(lambda: exporter.value("celery_tasks_running", task="hold", queue="celery") == 0)
    assert exporter.value("celery_task_oldest_started_timestamp_seconds", task="hold") is None


def test_workers_are_forgotten_after_the_retention(programs: Programs) -> None:
    """A stopped or lost worker is no longer counted after the retention."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.retention", "1s", "--workers.lost-after", "1s")
    polite, mortal = (programs.worker(server, name, BEATING) for name in ("polite", "mortal"))
    interval = "celery_worker_heartbeat_interval_seconds"
    eventually(lambda: exporter.value(interval, worker=mortal.name) == 1)
    polite.process.signal(signal.SIGTERM)
    mortal.process.kill()
    eventually(lambda: exporter.value("celery_worker_up", worker=mortal.name) == 0)
    eventually(lambda: states(exporter) == {"online": 0, "lost": 0, "offline": 0})
    assert [] == exporter.labels("celery_worker_up")
    assert [] == exporter.labels("celery_worker_starts_total")


def test_answers_to_remote_commands_are_no_heartbeats(shared: Shared) -> None:
    """A heartbeat in reply to a command, which has fewer fields than a periodic one, overwrites nothing."""
    name, exporter = shared.worker.name, shared.exporter
    heard = ("celery_exporter_events_total", {"type": "worker-heartbeat"})
    eventually(lambda: exporter.value("celery_worker_load_average", worker=name, period="1m") is not None)
    before = exporter.value(heard[0], **heard[1]) or 0
    for _ in range(5):
        shared.app.control.heartbeat(destination=[name])
    eventually(lambda: (exporter.value(heard[0], **heard[1]) or 0) >= before + 5)
    assert exporter.value("celery_worker_heartbeat_interval_seconds", worker=name) == 2
    assert exporter.value("celery_worker_load_average", worker=name, period="1m") is not None


def test_tasks_that_end_after_the_goodbye_are_counted(programs: Programs, tmp_path: Path) -> None:
    """A task that runs on after its worker reported its stop, as in a warm shutdown, stops running and counts."""
    server = programs.redis()
    exporter = programs.listening(server)
    worker = programs.worker(server, "warm", BEATING)
    gate = tmp_path / "gate"
    programs.publisher(server).send_task("hold", (str(gate),))
    exporter.agrees("hold", {**ONE_RUN, "running": 1})
    worker.process.signal(signal.SIGTERM)
    eventually(lambda: states(exporter) == {"online": 0, "lost": 0, "offline": 1})
    gate.touch()
    worker.process.ended()
    exporter.agrees("hold", ONE_SUCCESS)
    assert {"online": 0, "lost": 0, "offline": 1} == states(exporter)


def test_tasks_cut_off_by_a_cold_shutdown_run_no_more(programs: Programs, tmp_path: Path) -> None:
    """A cold shutdown ends executions without an event: none counts as ended, and none as running."""
    server = programs.redis()
    exporter = programs.listening(server)
    worker = programs.worker(server, "cold", BEATING)
    programs.publisher(server).send_task("hold", (str(tmp_path / "never"),))
    exporter.agrees("hold", {**ONE_RUN, "running": 1})
    worker.process.signal(signal.SIGQUIT)
    worker.process.ended()
    exporter.agrees("hold", ONE_RUN)


def test_workers_outlast_a_restart_of_redis(programs: Programs) -> None:
    """A worker whose broker was unreachable is never lost, and its tasks count exactly as before."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.lost-after", "1s")
    worker = programs.worker(server, "steady", BEATING)
    programs.publisher(server).send_task("again")
    exporter.agrees("again", ONE_SUCCESS)
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 1)
    server.stop()
    clock = SystemClock()
    stopped = clock.monotonic()
    eventually(lambda: clock.monotonic() - stopped > LOST_SECONDS + 1)
    assert exporter.value("celery_worker_up", worker=worker.name) == 1
    server.start()
    eventually(exporter.hears)
    programs.publisher(server).send_task("again")
    exporter.agrees("again", times(2, ONE_SUCCESS))
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 2)
    assert exporter.value("celery_worker_up", worker=worker.name) == 1
    assert exporter.value("celery_worker_events_missed_total", worker=worker.name) == 0


def allow_events(server: RedisServer, *, allowed: bool) -> None:
    """Allow or deny the exporter's user the event channels; denying cuts its subscription."""
    channels = ("resetchannels", "&/0.celeryev/*") if allowed else ("resetchannels",)
    server.command("ACL", "SETUSER", "monitor", "on", ">word", "~*", "+@all", *channels)


def test_missed_events_are_told_exactly(programs: Programs) -> None:
    """The missed executions are exactly those that started while the subscription was interrupted."""
    server = programs.redis()
    allow_events(server, allowed=True)
    exporter = programs.exporter("--broker-url", server.url(user="monitor", password="word"))
    eventually(exporter.hears)
    worker = programs.worker(server, "heard", BEATING)
    app = programs.publisher(server)
    missed = "celery_worker_events_missed_total"
    processed = "celery_worker_tasks_processed_total"
    for _ in range(3):
        app.send_task("unheard")
    eventually(lambda: exporter.value(processed, worker=worker.name) == 3)
    allow_events(server, allowed=False)
    eventually(lambda: exporter.value("celery_exporter_event_stream_reconnects_total", reason="noperm"))
    for _ in range(7):
        app.send_task("unheard")
    eventually(lambda: server.command("HLEN", "unacked") == 0 and server.command("LLEN", "celery") == 0)
    allow_events(server, allowed=True)
    eventually(lambda: exporter.value(missed, worker=worker.name) == 7)
    assert exporter.value(processed, worker=worker.name) == 10
    for _ in range(2):
        app.send_task("unheard")
    eventually(lambda: exporter.value(processed, worker=worker.name) == 12)
    seen = exporter.value("celery_worker_last_heartbeat_timestamp_seconds", worker=worker.name) or 0
    eventually(
        lambda: (exporter.value("celery_worker_last_heartbeat_timestamp_seconds", worker=worker.name) or 0) > seen + 1.5
    )
    assert exporter.value(missed, worker=worker.name) == 7
    assert exporter.value("celery_worker_task_events_enabled", worker=worker.name) == 1
    assert exporter.value("celery_exporter_event_stream_reconnects_total", reason="closed") == 1
    assert exporter.value("celery_exporter_event_stream_gap_seconds_total")


def test_workers_without_task_events_are_reported(programs: Programs) -> None:
    """A worker that runs tasks and sends no task events is shown as such, and not as one with lost events."""
    server = programs.redis()
    exporter = programs.listening(server)
    worker = programs.worker(server, "mute", WorkerOptions(events=False, arguments=QUICK_BEAT))
    app = programs.publisher(server)
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 0)
    for _ in range(3):
        app.send_task("silent")
    eventually(lambda: exporter.value("celery_worker_task_events_enabled", worker=worker.name) == 0)
    assert exporter.value("celery_worker_events_missed_total", worker=worker.name) == 0
    assert exporter.account("silent") == {"sent": 3}
