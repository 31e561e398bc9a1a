# SPDX-License-Identifier: Apache-2.0
"""The soak: events for half an hour with a fault every minute, and an exact account of every event at the end.

In the first third the exporter is also stopped and killed, and started again with the same state file. After that it
is not restarted, because a restart would hide growth.

``python -m tests.soak [--minutes N] [--rate EVENTS_PER_SECOND] [--fault-seconds N]`` starts a Redis server, a network
that can fail between it and an exporter, and a load; prints the resources over time and the counts, and fails if
a resource grew, a counter fell, or an event is not accounted for. A short one is part of the tests.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, count, cycle, islice
from pathlib import Path
from statistics import median

import psutil

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.decode.saved_state import decode_state
from celery_redis_exporter.sources.wire import CLIENT_NAME
from celery_redis_exporter.web.routes import HEALTH_THREADS, PAGE_THREADS, SCRAPE_THREADS
from tests.bench.load import STARTED, Replayed
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter, Samples
from tests.integration.faults import Watch
from tests.integration.faulty_network import FaultyNetwork, faulty_network
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

WORKERS, NAMES, BEAT_SECONDS = 20, 50, 1.0
FAULT_LASTS = 3.0
"""Duration in seconds of faults that last."""
GROWTH = 1.05
"""Resident memory may rise by this factor from the third quarter to the last one."""
GROWTH_BYTES = 12 * 2**20
"""In a short soak it may rise by this many bytes: buffers of bursts after a gap, and the first tasks of their kind."""
LONG_SECONDS = 300.0
STARTS, MISSED = "celery_tasks_started_total", "celery_worker_events_missed_total"
OF_A_PROCESS = ("process_", "python_", "celery_exporter_log_", "celery_exporter_key_space_")
"""Counters that start with the process."""
POOLS = SCRAPE_THREADS + PAGE_THREADS + HEALTH_THREADS
"""Threads that start on demand."""
RARE_NAMES = 1.05
"""Series may rise by this factor in the second half: the last pairs of task and queue to fail."""
SETTLE_SECONDS = 30.0
LINGER_SECONDS = 8.0
"""Seconds of heartbeats after the last task: they settle the account, and a busy machine may reconnect late."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The exporter's resources at a moment: bytes, descriptors, threads, and series of events."""

    memory: int
    descriptors: int
    threads: int
    series: int


@dataclass(frozen=True, slots=True)
class Soak:
    """The results: ``counted`` and ``missed`` are executions; ``sent`` is the load's report.

    ``lost`` are executions that killed processes had counted in their last state file. Counters start at 0 after a
    kill, and executions after that file was written are missed.
    """

    seconds: float
    sent: Replayed
    counted: float
    missed: float
    lost: float
    faults: int
    restarts: int
    usage: list[Usage]
    scrapes: int
    fallen: list[str]
    failed: list[str]


class Lives:
    """Successive exporters with the same flags and state file, each observed while it runs."""

    def __init__(self, programs: Programs, broker_url: str) -> None:
        self._programs = programs
        self._file = programs.folder / "state"
        self._flags = (
            "--broker-url", broker_url, "--events.idle-timeout", "1s", "--scrape.deadline", "500ms",
            "--celery.inspect-interval", "0", "--state.file", str(self._file), "--state.interval", "1s",
        )  # fmt: skip
        self.lost, self.restarts = 0.0, 0
        self.exporter = self._start()
        self.watches = [Watch(self.exporter)]

    def stop_cleanly(self) -> None:
        """Stop the exporter with SIGTERM, and start it again: its counters continue."""
        self.watches[-1].stop()
        code = self.exporter.process.end()
        assert code == 0, self.exporter.process.tail()
        kept = {key: value for key, value in self.watches[-1].last.items() if not key[0].startswith(OF_A_PROCESS)}
        self._go_on(kept)

    def kill(self) -> None:
        """Kill the exporter, and start it again: its counters start at 0."""
        self.watches[-1].stop()
        self.exporter.process.kill()
        saved = decode_state(self._file.read_bytes()).state.scalars
        self.lost += sum(series.value for name in (STARTS, MISSED) for series in saved.get(name, ()))
        self._go_on({})

    def _start(self) -> Exporter:
        exporter = self._programs.exporter(*self._flags)
        eventually(exporter.hears)
        return exporter

    def _go_on(self, last: Samples) -> None:
        self.restarts += 1
        self.exporter = self._start()
        self.watches.append(Watch(self.exporter, last))
        self.watches[-1].start()


def faults(network: FaultyNetwork, server: RedisServer, pause: threading.Event) -> Iterator[Callable[[], None]]:
    """Yield faults of network and server, one after the other, endlessly."""

    def hole() -> None:
        network.hole = True
        pause.wait(FAULT_LASTS)
        network.hole = False
        network.reset()  # after the dropped bytes the streams are invalid

    def slowness() -> None:
        network.delay = 1.0
        pause.wait(FAULT_LASTS)
        network.delay = 0.0

    def kill_reads() -> None:
        for client in server.command("CLIENT", "LIST").decode().splitlines():  # except the load's
            if f" name={CLIENT_NAME} " in client:
                server.command("CLIENT", "KILL", "ID", client.partition("id=")[2].partition(" ")[0])

    return cycle((
        network.reset,
        lambda: network.cut(b"pmessage", after=60),
        hole,
        lambda: server.command("CLIENT", "KILL", "TYPE", "pubsub"),
        slowness,
        kill_reads,
    ))  # fmt: skip


def soak(programs: Programs, seconds: float, rate: float, every: float) -> Soak:
    """Run a soak."""
    clock, pause = SystemClock(), threading.Event()
    server = programs.redis(options=("--client-output-buffer-limit", "pubsub 0 0 0"))
    with faulty_network(server.port) as network:
        lives = Lives(programs, f"redis://127.0.0.1:{network.port}/0")
        load = programs.run(
            sys.executable, "-m", "tests.bench.load", "--url", server.url(), "--rate", f"{rate}", "--seconds",
            f"{seconds}", "--heartbeats", f"{BEAT_SECONDS}", "--workers", f"{WORKERS}", "--names", f"{NAMES}",
            "--tasks", f"{int(rate * seconds)}", "--linger", f"{LINGER_SECONDS}",
        )  # fmt: skip
        eventually(lambda: STARTED in load.output(), 30)
        usage, made, started = [use(lives.exporter)], 0, clock.monotonic()
        lives.watches[0].start()
        coming, due = faults(network, server, pause), started + every
        last = started + seconds - 2 * every
        restarts = chain.from_iterable((lives.stop_cleanly, lives.kill, *islice(coming, 2)) for _ in count())
        while load.exit_code is None:
            if due <= clock.monotonic() < last:
                next(restarts if due < started + seconds / 3 else coming)()
                made, due = made + 1, due + every
            pause.wait(1.0)
            usage.append(use(lives.exporter))
        sent = Replayed(**json.loads(load.output().splitlines()[-1]))
        counted, missed = account(lives, sent)
        lives.watches[-1].stop()
    return Soak(
        seconds, sent, counted, missed, lives.lost, made, lives.restarts, usage,
        sum(watch.scrapes for watch in lives.watches),
        [line for watch in lives.watches for line in watch.fallen],
        [line for watch in lives.watches for line in watch.failed],
    )  # fmt: skip


def use(exporter: Exporter) -> Usage:
    """Read the exporter's resources."""
    process = psutil.Process(exporter.process.pid)
    series = sum(exporter.metrics("celery_exporter_series{").values())
    return Usage(process.memory_info().rss, process.num_fds(), process.num_threads(), int(series))


def account(lives: Lives, sent: Replayed) -> tuple[float, float]:
    """Wait until every execution is counted or reported as missed; return both numbers, also after a timeout."""

    def totals() -> tuple[float, float]:
        exporter = lives.exporter
        return sum(exporter.metrics(f"{STARTS}{{").values()), sum(exporter.metrics(f"{MISSED}{{").values())

    try:
        eventually(lambda: sum(totals()) + lives.lost == sent.started, SETTLE_SECONDS)
    except AssertionError:
        sys.stderr.write("the account does not settle\n")
    return totals()


def judge(result: Soak) -> list[str]:
    """Return the faults of a soak."""
    wrong = [*result.fallen[:5], *result.failed[:5]]
    if result.counted + result.missed + result.lost != result.sent.started:
        wrong.append(f"{result.sent.started} executions, {result.counted:.0f} counted, {result.missed:.0f} missed, "
                     f"{result.lost:.0f} lost to kills")  # fmt: skip
    if result.faults and not result.missed:
        wrong.append("no fault cost an event: the faults did not reach the exporter")
    settled = result.usage[len(result.usage) // 2 :]
    first, last = settled[0], settled[-1]
    if result.seconds < LONG_SECONDS:
        before, after, most = first.memory, last.memory, first.memory + GROWTH_BYTES
    else:
        before, after = (int(median(one.memory for one in half)) for half in halves(settled))
        most = int(GROWTH * before)
    if after > most:
        wrong.append(f"memory grew from {before:,} to {after:,}")
    if last.descriptors > first.descriptors + 2 or last.threads > first.threads + POOLS:
        wrong.append(f"descriptors or threads grew: {first} {last}")
    if last.series > first.series * RARE_NAMES:
        wrong.append(f"series grew from {first.series} to {last.series}")
    return wrong


def halves(settled: Sequence[Usage]) -> tuple[Sequence[Usage], Sequence[Usage]]:
    """Return the first and the second half."""
    return settled[: len(settled) // 2], settled[len(settled) // 2 :]


def main(argv: list[str]) -> int:
    """Run a soak, and print it; return 1 if it has a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=5000)
    parser.add_argument("--fault-seconds", type=float, default=60)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        result = soak(Programs(Path(folder), ending), options.minutes * 60, options.rate, options.fault_seconds)
    wrong = judge(result)
    shares = [result.usage[len(result.usage) * part // 4] for part in range(4)] + [result.usage[-1]]
    for usage in shares:
        sys.stdout.write(f"{usage.memory / 2**20:6.1f} MB, {usage.descriptors} descriptors, {usage.threads} threads, "
                         f"{usage.series} series\n")  # fmt: skip
    sent = result.sent
    sys.stdout.write(
        f"{sent.events:,} events in {sent.seconds:.0f} s ({sent.rate:,.0f}/s), {result.faults} faults, "
        f"{result.restarts} of them restarts: {sent.started:,} executions = {result.counted:,.0f} counted + "
        f"{result.missed:,.0f} missed + {result.lost:,.0f} counted by killed processes; {result.scrapes:,} scrapes\n"
    )
    sys.stdout.write("".join(f"WRONG: {line}\n" for line in wrong) or "nothing is wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
