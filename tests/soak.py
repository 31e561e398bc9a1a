"""The soak: events for half an hour with a fault every minute, and an account to the event at the end.

``python -m tests.soak [--minutes N] [--rate EVENTS_PER_SECOND] [--fault-seconds N]`` starts a Redis server, a network
that can fail between it and an exporter, and a load; prints what was used over time and what was counted, and fails if
anything grew, fell, or is missing from the account. A short one is part of the tests.
"""

import argparse
import itertools
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.sources.wire import CLIENT_NAME
from celery_redis_exporter.web.routes import HEALTH_THREADS, PAGE_THREADS, SCRAPE_THREADS
from tests.bench.load import STARTED, Replayed
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.faults import Watch
from tests.integration.faulty_network import FaultyNetwork, faulty_network
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

WORKERS, NAMES, BEAT_SECONDS = 20, 50, 1.0
FAULT_LASTS = 3.0
"""Seconds for those faults that last."""
GROWTH_BYTES = 12 * 2**20
"""Resident memory may rise by so much after the first third: buffers of bursts after a gap."""
POOLS = SCRAPE_THREADS + PAGE_THREADS + HEALTH_THREADS
"""Threads that start when they are needed."""
RARE_NAMES = 1.05
"""Series may rise by so much after the first third: the last pairs of task and queue to fail."""
SETTLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the exporter uses at a moment: bytes, descriptors, threads, and series of events."""

    memory: int
    descriptors: int
    threads: int
    series: int


@dataclass(frozen=True, slots=True)
class Soak:
    """What came of it: ``counted`` and ``missed`` are executions; ``sent`` what the load says."""

    sent: Replayed
    counted: float
    missed: float
    faults: int
    usage: list[Usage]
    scrapes: int
    fallen: list[str]
    failed: list[str]


def faults(network: FaultyNetwork, server: RedisServer, pause: threading.Event) -> Iterator[Callable[[], None]]:
    """Give one fault after the other, for ever."""

    def hole() -> None:
        network.hole = True
        pause.wait(FAULT_LASTS)
        network.hole = False
        network.reset()  # what was swallowed leaves streams that make no sense

    def slowness() -> None:
        network.delay = 1.0
        pause.wait(FAULT_LASTS)
        network.delay = 0.0

    def kill_reads() -> None:
        for client in server.command("CLIENT", "LIST").decode().splitlines():  # not the load's
            if f" name={CLIENT_NAME} " in client:
                server.command("CLIENT", "KILL", "ID", client.partition("id=")[2].partition(" ")[0])

    return itertools.cycle((
        network.reset,
        lambda: network.cut(b"pmessage", after=60),
        hole,
        lambda: server.command("CLIENT", "KILL", "TYPE", "pubsub"),
        slowness,
        kill_reads,
    ))  # fmt: skip


def soak(programs: Programs, seconds: float, rate: float, every: float) -> Soak:
    """Run it."""
    clock, pause = SystemClock(), threading.Event()
    server = programs.redis(options=("--client-output-buffer-limit", "pubsub 0 0 0"))
    with faulty_network(server.port) as network:
        flags = ("--events.idle-timeout", "1s", "--scrape.deadline", "500ms", "--celery.inspect-interval", "0")
        exporter = programs.exporter("--broker-url", f"redis://127.0.0.1:{network.port}/0", *flags)
        eventually(exporter.hears)
        load = programs.run(
            sys.executable, "-m", "tests.bench.load", "--url", server.url(), "--rate", f"{rate}", "--seconds",
            f"{seconds}", "--heartbeats", f"{BEAT_SECONDS}", "--workers", f"{WORKERS}", "--names", f"{NAMES}",
            "--tasks", f"{int(rate * seconds)}",
        )  # fmt: skip
        eventually(lambda: STARTED in load.output(), 30)
        watch, usage, made = Watch(exporter), [use(exporter)], 0
        watch.start()
        coming, due = faults(network, server, pause), clock.monotonic() + every
        last = clock.monotonic() + seconds - 2 * every  # the last heartbeats settle the account: they must arrive
        while load.exit_code is None:
            if due <= clock.monotonic() < last:
                next(coming)()
                made, due = made + 1, due + every
            pause.wait(1.0)
            usage.append(use(exporter))
        sent = Replayed(**json.loads(load.output().splitlines()[-1]))
        counted, missed = account(exporter, sent)
        watch.stop()
    return Soak(sent, counted, missed, made, usage, watch.scrapes, watch.fallen, watch.failed)


def use(exporter: Exporter) -> Usage:
    """Read what the exporter uses."""
    process = psutil.Process(exporter.process.pid)
    series = sum(exporter.metrics("celery_exporter_series{").values())
    return Usage(process.memory_info().rss, process.num_fds(), process.num_threads(), int(series))


def account(exporter: Exporter, sent: Replayed) -> tuple[float, float]:
    """Wait until every execution is counted or told as missed; give both numbers, however that ends."""

    def totals() -> tuple[float, float]:
        return (
            sum(exporter.metrics("celery_tasks_started_total{").values()),
            sum(exporter.metrics("celery_worker_events_missed_total{").values()),
        )

    try:
        eventually(lambda: sum(totals()) == sent.started, SETTLE_SECONDS)
    except AssertionError:
        sys.stderr.write("the account does not settle\n")
    return totals()


def judge(result: Soak) -> list[str]:
    """Give what is wrong with a soak."""
    wrong = [*result.fallen[:5], *result.failed[:5]]
    if result.counted + result.missed != result.sent.started:
        wrong.append(f"{result.sent.started} executions, {result.counted:.0f} counted, {result.missed:.0f} missed")
    if result.faults and not result.missed:
        wrong.append("no fault cost an event: the faults did not reach the exporter")
    settled = result.usage[len(result.usage) // 3 :]
    first, last = settled[0], settled[-1]
    if last.memory - first.memory > GROWTH_BYTES:
        wrong.append(f"memory grew from {first.memory:,} to {last.memory:,}")
    if last.descriptors > first.descriptors + 2 or last.threads > first.threads + POOLS:
        wrong.append(f"descriptors or threads grew: {first} {last}")
    if last.series > first.series * RARE_NAMES:
        wrong.append(f"series grew from {first.series} to {last.series}")
    return wrong


def main(argv: list[str]) -> int:
    """Run a soak, print it; give 1 if something is wrong."""
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
        f"{sent.events:,} events in {sent.seconds:.0f} s ({sent.rate:,.0f}/s), {result.faults} faults: "
        f"{sent.started:,} executions = {result.counted:,.0f} counted + {result.missed:,.0f} missed; "
        f"{result.scrapes:,} scrapes\n"
    )
    sys.stdout.write("".join(f"WRONG: {line}\n" for line in wrong) or "nothing is wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
