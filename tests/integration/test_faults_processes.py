# SPDX-License-Identifier: Apache-2.0
"""Faults of workers, of scrapers, and of the exporter's environment: clocks, descriptors, the pipe of its log."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_SUCCESS, Exporter, times
from tests.integration.faults import BACK_SECONDS, is_well, recovers, shifted, watched, with_few_descriptors
from tests.integration.processes import clean_environment, free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

UP, LOST = "celery_worker_up", "lost"
HOURS = 3 * 3600
JOINING = 200


def test_a_frozen_worker_is_lost_and_comes_back(programs: Programs) -> None:
    """A frozen worker is lost after the timeout, and up again after its next heartbeat."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.lost-after", "3s")
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING))
    app = programs.publisher(server)
    app.send_task("plain", (1,))
    exporter.agrees("plain", ONE_SUCCESS)
    with watched(exporter):
        worker.process.signal(signal.SIGSTOP)
        eventually(lambda: exporter.value(UP, worker=worker.name) == 0)
        assert exporter.value("celery_workers", state=LOST) == 1
        worker.process.signal(signal.SIGCONT)
        eventually(lambda: exporter.value(UP, worker=worker.name) == 1, BACK_SECONDS)
    app.send_task("plain", (2,))
    exporter.agrees("plain", times(2, ONE_SUCCESS))


def test_a_worker_whose_clock_is_hours_off(programs: Programs, tmp_path: Path) -> None:
    """A worker whose clock is three hours ahead is up, its skew is shown, and the runtimes of its tasks are correct."""
    server = programs.redis()
    exporter = programs.listening(server)
    environment, file = shifted(tmp_path)
    file.write_text(str(HOURS), encoding="utf-8")
    name = f"ahead@{socket.gethostname()}"
    settings = {"APPLICATION_BROKER": server.url(), "APPLICATION_SETTINGS": "{}"}
    programs.run(
        sys.executable, "-m", "celery", "-A", "tests.integration.worker_app", "worker", "-c", "2", "-E",
        "-n", "ahead@%h", *BEATING, environment=settings | environment,
    )  # fmt: skip
    eventually(lambda: exporter.value(UP, worker=name) == 1)
    eventually(lambda: abs((exporter.value("celery_worker_clock_skew_seconds", worker=name) or 0) - HOURS) < 60)
    programs.publisher(server).send_task("plain", (1,))
    eventually(lambda: exporter.account("plain").get("success") == 1)
    assert exporter.value("celery_worker_events_missed_total", worker=name) == 0
    samples = exporter.metrics("celery_task_runtime_seconds_sum")
    assert [value for (_, labels), value in samples.items() if ("task", "plain") in labels and value > 60] == []


def test_a_worker_that_is_started_again_under_its_name(programs: Programs) -> None:
    """A worker that was killed and restarted is shown once and as up, and the tasks of both processes are counted."""
    server = programs.redis()
    exporter = programs.listening(server)
    options = WorkerOptions(arguments=BEATING)
    worker = programs.worker(server, options=options)
    app = programs.publisher(server)
    app.send_task("plain", (1,))
    exporter.agrees("plain", ONE_SUCCESS)
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 1)
    with watched(exporter):
        worker.process.kill()
        again = programs.worker(server, options=options)
        assert worker.name == again.name
        eventually(lambda: exporter.value("celery_worker_starts_total", worker=worker.name) == 2)
        assert exporter.value(UP, worker=worker.name) == 1
    app.send_task("plain", (2,))
    exporter.agrees("plain", times(2, ONE_SUCCESS))
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 1)  # its own count
    assert exporter.value("celery_worker_events_missed_total", worker=worker.name) == 0


def test_two_hundred_workers_join_at_once(programs: Programs) -> None:
    """If two hundred workers start at the same moment, each of them is shown exactly once."""
    # One process publishes their events, because a test machine can't run so many real workers.
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "0")
    app = programs.publisher(server)
    with watched(exporter):
        with app.events.default_dispatcher(hostname="fleet") as dispatcher:
            for kind in ("worker-online", "worker-heartbeat"):
                for number in range(JOINING):
                    dispatcher.hostname = f"w{number}@fleet"
                    dispatcher.send(kind, freq=2.0, active=0, processed=0)
        eventually(lambda: exporter.value("celery_workers", state="online") == JOINING)
    assert JOINING == len(exporter.labels(UP))


def test_the_exporters_clock_steps_back(programs: Programs, tmp_path: Path) -> None:
    """If the exporter's clock is set back by hours, no counter falls, no worker is lost and no age is negative."""
    server = programs.redis()
    environment, file = shifted(tmp_path)
    environment["EXPORTER_SCRAPE__FRESHNESS"] = "0"
    exporter = programs.exporter("--broker-url", server.url(), environment=environment)
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING))
    eventually(exporter.hears)
    app = programs.publisher(server)
    app.send_task("plain", (1,))
    exporter.agrees("plain", ONE_SUCCESS)
    app.send_task("kept", queue="orders")
    eventually(lambda: exporter.value("celery_queue_length", queue="orders") == 1)
    with watched(exporter):
        file.write_text(str(-HOURS), encoding="utf-8")
        app.send_task("plain", (2,))
        exporter.agrees("plain", times(2, ONE_SUCCESS))
        assert exporter.value(UP, worker=worker.name) == 1
        assert is_well(exporter)
        ages = {name: value for (name, _), value in exporter.metrics("_age_seconds").items() if value < 0}
        assert ages == {}


def test_slow_and_broken_scrapers(programs: Programs) -> None:
    """Scrapers that read slowly, send no request or disconnect delay neither other requests nor the exporter's end."""
    exporter = programs.listening(programs.redis())
    with ExitStack() as ending, watched(exporter):
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        for number in range(30):
            scraper = ending.enter_context(closing(socket.create_connection(("127.0.0.1", exporter.port))))
            if number % 3 == 0:
                scraper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                scraper.sendall(request)
                assert scraper.recv(1)
            elif number % 3 == 1:
                scraper.sendall(request)
                scraper.close()
        recovers(exporter)
    clock = SystemClock()
    with closing(socket.create_connection(("127.0.0.1", exporter.port))) as scraper:
        scraper.sendall(request)
        started = clock.monotonic()
        exporter.process.signal(signal.SIGTERM)
        assert exporter.process.ended(10) == 0
        assert clock.monotonic() - started < 3


def test_no_descriptors_left(programs: Programs) -> None:
    """Without free descriptors new connections wait, counters stay, and the exporter recovers with free descriptors."""
    server = programs.redis()
    exporter = with_few_descriptors(programs, server)
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 1})
    with ExitStack() as ending:
        for _ in range(100):
            ending.enter_context(closing(socket.create_connection(("127.0.0.1", exporter.port), timeout=5)))
        programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 2}, 10)
    recovers(exporter)


def test_a_log_that_nobody_reads(programs: Programs, tmp_path: Path) -> None:
    """If its log is a full pipe that is never read, the exporter still starts, counts, responds and stops."""
    server = programs.redis()
    port = free_port()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    flags = ("--broker-url", server.url(), "--web.listen-address", f"127.0.0.1:{port}")
    environment = clean_environment() | {"EXPORTER_SERIES__ZERO_FIRST": "0"}
    command = [sys.executable, "-m", "celery_redis_exporter", *flags]
    process = subprocess.Popen(command, stderr=writer, env=environment, cwd=tmp_path, start_new_session=True)
    try:
        exporter = Exporter.at(port)

        def listens() -> bool:
            try:
                return exporter.hears()
            except ConnectionRefusedError:
                return False

        eventually(listens)
        programs.publisher(server).send_task("counted")
        eventually(lambda: exporter.account("counted") == {"sent": 1})
        recovers(exporter)
        process.terminate()
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
