# SPDX-License-Identifier: Apache-2.0
"""The state file, with real servers and workers: a restart keeps counters and never adds to them."""

import json
import os
import signal
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from celery import Celery

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import LISTEN, ONE_SUCCESS, Exporter, Samples, times
from tests.integration.processes import free_port
from tests.integration.prometheus_server import PrometheusServer, is_installed, scraping
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

STARTED, MISSED = "celery_tasks_started_total", "celery_worker_events_missed_total"
PROCESSED = "celery_worker_tasks_processed_total"
SETTLED = "events.loss_settled"
COUNTED = ("_total", "_count", "_sum", "_bucket")
ALIVE = ("redis_", "process_", "python_", "celery_exporter_log_", "celery_exporter_key_space_")
"""Counters of servers, of the process, and of the exporter's own work, which start with the process."""


class Site:
    """A server, a worker with heartbeats each second, and successive exporters with the same state file."""

    def __init__(self, programs: Programs, *flags: str) -> None:
        self.programs = programs
        self.server: RedisServer = programs.redis()
        self.path = programs.folder / "state"
        self.flags = (
            "--broker-url", self.server.url(), "--state.file", str(self.path), "--state.interval=1s", *flags,
        )  # fmt: skip
        self.app: Celery = programs.publisher(self.server)
        self.executed = 0

    def worker(self) -> None:
        """Start the worker."""
        self.programs.worker(self.server, options=WorkerOptions(arguments=BEATING))

    def exporter(self, port: int = 0, **environment: str) -> Exporter:
        """Start an exporter, and wait until it receives events."""
        listen = ("--web.listen-address", f"127.0.0.1:{port}") if port else LISTEN
        log = self.programs.folder / f"exporter-{len(self.programs.processes)}.log"
        exporter = Exporter(log, *self.flags, *listen, environment={"EXPORTER_SCRAPE__FRESHNESS": "0", **environment})
        self.programs._keep(exporter.process)
        eventually(exporter.hears)
        return exporter

    def execute(self, count: int) -> None:
        """Publish tasks."""
        for _ in range(count):
            self.app.send_task("counted")
        self.executed += count

    def drained(self) -> bool:
        """Return whether the worker received every task."""
        return bool(self.server.command("LLEN", "celery") == 0)

    def written_after(self, moment: float) -> bool:
        """Return whether the state file was written after ``moment``, an earlier modification time."""
        return self.path.exists() and self.path.stat().st_mtime > moment


def counters(exporter: Exporter) -> Samples:
    """Return all counters that events increase."""
    return {
        key: value
        for key, value in exporter.metrics().items()
        if key[0].endswith(COUNTED) and not key[0].startswith(ALIVE) and key[0] != "celery_worker_prefetch_count"
    }


def counted(exporter: Exporter) -> float:
    """Return the number of executions: those with events, and those that were missed."""
    samples = exporter.metrics()
    return sum(value for (name, _), value in samples.items() if name in {STARTED, MISSED})


def test_a_clean_restart_keeps_every_counter(programs: Programs) -> None:
    """After SIGTERM and a restart no counter differs, and the missed executions are exactly those in between."""
    site = Site(programs, "--events.exemplars")
    exporter = site.exporter()
    site.worker()
    site.execute(7)
    exporter.agrees("counted", times(7, ONE_SUCCESS))
    eventually(lambda: exporter.value(PROCESSED, worker=exporter.labels(PROCESSED)[0]["worker"]) == 7)
    before = counters(exporter)
    assert exporter.process.end() == 0
    site.execute(5)
    eventually(site.drained)
    again = site.exporter()
    assert "counters go on" == again.line("state.restored")["effect"]
    now = counters(again)
    assert {} == {key: value for key, value in before.items() if now.get(key, 0) < value}
    again.agrees("counted", times(7, ONE_SUCCESS))
    assert 0 == json.loads(again.get("/api/v1/status").body)["tasks"][0]["recent"]["ended"]
    assert again.value("celery_exporter_event_stream_reconnects_total", reason="closed") is None
    line = eventually(lambda: again.lines(SETTLED))[0]
    assert (5, 1, "start after a clean stop") == (line["executions_missed"], line["workers_counted"], line["cause"])
    assert "workers_unknown" not in line
    site.execute(3)
    eventually(lambda: counted(again) == site.executed)
    again.agrees("counted", times(10, ONE_SUCCESS))
    assert 5 == sum(value for (name, _), value in again.metrics().items() if name == MISSED)


def test_after_a_kill_counters_begin_at_0(programs: Programs) -> None:
    """After SIGKILL counters start at 0 and never exceed the executions; timestamps, queues and workers are kept."""
    site = Site(programs)
    exporter = site.exporter()
    site.worker()
    site.execute(7)
    exporter.agrees("counted", times(7, ONE_SUCCESS))
    last = exporter.value("celery_task_last_success_timestamp_seconds", task="counted")
    written = site.path.stat().st_mtime
    eventually(lambda: site.written_after(written))
    eventually(lambda: site.written_after(written + 0.5))
    exporter.process.kill()
    site.execute(5)
    eventually(site.drained)
    again = site.exporter()
    assert "counters begin at 0: the last process did not stop cleanly" == again.line("state.restored")["effect"]
    assert 0 == again.value(STARTED, task="counted", queue="celery")
    assert last == again.value("celery_task_last_success_timestamp_seconds", task="counted")
    assert 1 == again.value("celery_workers", state="online")
    assert 0 == again.value("celery_queue_length", queue="celery")
    line = eventually(lambda: again.lines(SETTLED))[0]
    assert 5 <= line["executions_missed"] <= 12
    site.execute(2)
    again.agrees("counted", times(2, ONE_SUCCESS))
    assert counted(again) <= site.executed


def test_a_restarted_worker_makes_the_loss_unknown(programs: Programs) -> None:
    """If the worker restarted as well, the log states why the number of missed executions is unknown."""
    site = Site(programs)
    exporter = site.exporter()
    options = WorkerOptions(arguments=BEATING)
    worker = programs.worker(site.server, options=options)
    eventually(lambda: exporter.labels(PROCESSED))
    assert exporter.process.end() == 0
    worker.process.end()
    programs.worker(site.server, options=options)
    again = site.exporter()
    line = eventually(lambda: again.lines(SETTLED))[0]
    assert {"another process since": 1} == line["workers_unknown"]
    assert [worker.name] == line["unknown_among_them"]


def test_a_reconnection_states_its_loss(programs: Programs) -> None:
    """After an interruption of the subscription one line states how many executions were missed."""
    site = Site(programs)
    exporter = site.exporter()
    site.worker()
    site.execute(3)
    exporter.agrees("counted", times(3, ONE_SUCCESS))
    lines = len(exporter.lines(SETTLED))
    site.server.command("CLIENT", "KILL", "TYPE", "pubsub")
    eventually(lambda: exporter.lines("events.resumed"))
    line = eventually(lambda: exporter.lines(SETTLED)[lines:])[0]
    assert ("reconnection", 0, 1) == (line["cause"], line["executions_missed"], line["workers_counted"])


def test_a_second_exporter_is_refused(programs: Programs) -> None:
    """A second exporter with the same file exits with code 2 and one line with the first one's process id."""
    site = Site(programs)
    exporter = site.exporter()
    second = programs.run(sys.executable, "-m", "celery_redis_exporter", *site.flags, *LISTEN)
    assert second.ended() == 2
    (line,) = second.output().splitlines()
    assert f"in use by process {exporter.process.pid}" in line
    assert exporter.hears()


def test_a_missing_directory_is_refused(programs: Programs) -> None:
    """A file in a directory that does not exist is a configuration error: exit code 2, and one line."""
    process = programs.run(
        sys.executable, "-m", "celery_redis_exporter", "--state.file", str(programs.folder / "no" / "state"), *LISTEN
    )
    assert process.ended() == 2
    (line,) = process.output().splitlines()
    assert "state.file: " in line
    assert "no such file or directory" in line


@pytest.mark.parametrize(("content", "reason"), [(b"something else\n", "foreign"), (b"celery-red", "damaged")])
def test_a_file_that_can_not_be_used_is_kept(programs: Programs, content: bytes, reason: str) -> None:
    """The exporter starts with an unusable file, keeps a copy of it, and writes a new one."""
    site = Site(programs)
    site.path.write_bytes(content)
    exporter = site.exporter()
    assert content == site.path.with_name(f"state.{reason}").read_bytes()
    assert reason == exporter.line("state.set_aside")["reason"]
    eventually(site.path.exists)


def test_another_broker_s_file_is_not_restored(programs: Programs) -> None:
    """The exporter of another application sets the file aside, and its counters start at 0."""
    site = Site(programs)
    exporter = site.exporter()
    site.app.send_task("counted")
    exporter.agrees("counted", {"sent": 1})
    assert exporter.process.end() == 0
    other = site.exporter(EXPORTER_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX="other:")
    assert {} == other.account("counted")
    assert "foreign" == other.line("state.set_aside")["reason"]


def test_a_hangup_does_not_touch_the_file(programs: Programs) -> None:
    """SIGHUP neither writes nor restores the file, and counters keep their values."""
    site = Site(programs, "--state.interval=0")
    exporter = site.exporter()
    site.app.send_task("counted")
    exporter.agrees("counted", {"sent": 1})
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: exporter.lines("app.reloaded"))
    assert not site.path.exists()
    assert {"sent": 1} == exporter.account("counted")
    assert exporter.process.end() == 0
    assert site.path.exists()


def test_a_full_disk_is_stated_once_and_counted(programs: Programs) -> None:
    """If the file can't be written any more, scrapes continue, failures are counted, and one line states why."""
    site = Site(programs)
    exporter = site.exporter()
    eventually(site.path.exists)
    os.mkdir(site.path.with_name("state.new"))  # noqa: PTH102 -- no file can be created there, not even by root
    failures = "celery_exporter_state_file_write_failures_total"
    eventually(lambda: (exporter.value(failures) or 0) >= 2)
    assert 0 == exporter.value("celery_exporter_collector_success", collector="state_file")
    assert 1 == len(exporter.lines("state.write_failed"))
    site.path.with_name("state.new").rmdir()
    eventually(lambda: exporter.lines("state.write_works"))
    assert 1 == exporter.value("celery_exporter_collector_success", collector="state_file")
    assert site.path.stat().st_mode & 0o777 == 0o600


def test_200_kills_leave_a_readable_file(programs: Programs) -> None:
    """Whenever a writing process is killed, the file is complete."""
    process = programs.run(
        sys.executable, "-m", "tests.integration.state_killer", str(programs.folder / "state"), "200"
    )
    assert process.ended(150) == 0, process.tail()
    found = json.loads(process.output().splitlines()[-1])
    assert found["halves"] > 20


def raw_increase(prometheus: PrometheusServer, expression: str) -> float:
    """Return the increase of a counter by Prometheus's rule, from its samples, without extrapolation."""
    risen = 0.0
    for _, samples in prometheus.samples(expression):
        risen += samples[0] + sum(now - before if now >= before else now for before, now in pairwise(samples))
    return risen


@pytest.mark.skipif(not is_installed(), reason="needs prometheus")
def test_prometheus_sees_no_reset_in_clean_restarts(programs: Programs, tmp_path: Path) -> None:
    """Over three clean restarts no counter resets, and the increase equals the executed and missed tasks."""
    site = Site(programs)
    port = free_port()
    prometheus = programs.prometheus(scraping(tmp_path / "none.yml", exporter=port))

    def shown(exporter: Exporter) -> bool:
        return counted(exporter) == site.executed == prometheus.value(f"sum({STARTED}) + sum({MISSED})")

    exporter = site.exporter(port, EXPORTER_SERIES__ZERO_FIRST="2s")
    site.worker()
    for _ in range(3):
        site.execute(5)
        eventually(partial(shown, exporter))
        assert exporter.process.end() == 0
        site.execute(3)
        eventually(site.drained)
        exporter = site.exporter(port, EXPORTER_SERIES__ZERO_FIRST="2s")
        eventually(partial(shown, exporter))
    found = prometheus.samples('{__name__=~"celery_.+_(total|count|sum|bucket)"}')
    falling = [labels for labels, samples in found if any(now < before for before, now in pairwise(samples))]
    assert [] == [labels for labels in falling if not labels["__name__"].startswith(ALIVE)]
    assert site.executed == raw_increase(prometheus, STARTED) + raw_increase(prometheus, MISSED)


def started_at_least(exporter: Exporter, count: int) -> bool:
    """Return whether at least ``count`` executions are counted."""
    return exporter.account("counted").get("started", 0) >= count


@pytest.mark.skipif(not is_installed(), reason="needs prometheus")
def test_prometheus_never_sees_more_than_was_executed(programs: Programs, tmp_path: Path) -> None:
    """After kills at any moment between scrapes and writes the increase of starts never exceeds the executions."""
    site = Site(programs)
    port = free_port()
    prometheus = programs.prometheus(scraping(tmp_path / "none.yml", exporter=port))
    exporter = site.exporter(port)
    site.worker()
    for number in range(6):
        site.execute(10)
        wanted = (2, 10, 7, 1, 9, 4)[number]
        eventually(partial(started_at_least, exporter, wanted))
        if number % 2:
            eventually(partial(site.written_after, site.path.stat().st_mtime))
        exporter.process.kill()
        exporter = site.exporter(port)
        assert (exporter.account("counted").get("started") or 0) <= 10
    eventually(site.drained)
    site.execute(1)
    eventually(partial(started_at_least, exporter, 1))
    eventually(lambda: raw_increase(prometheus, STARTED) > 0)  # each kill may have come before a scrape
    assert raw_increase(prometheus, STARTED) <= site.executed
