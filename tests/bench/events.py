"""Events per CPU second, side by side: ``python -m tests.bench.events [--tasks N] [--runs N] [subject ...]``.

Every subject reads the same stream from a Redis of its own, on this machine, one after the other, and the rounds are
repeated so that what slows the machine down slows all of them. What counts is CPU time of the subject's process, so
that the publisher and Redis do not. The counts are checked after each run: a lost event makes the run a failure.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from tests.bench.streams import Message, Shape, make_stream
from tests.bench.subjects import SUBJECTS, Subject
from tests.integration.redis_servers import RedisServer
from tests.waiting import eventually

CHUNK = 500
CPU_RESOLUTION = 0.01
"""Seconds: the least CPU time that the system tells."""
IDLE_SECONDS = 1.0
IDLE_SHARE = 0.03
"""A process is idle when it used less than this share of a core in the last IDLE_SECONDS."""
# A slow subscriber must not be cut off: the peers fall behind by the whole stream.
UNLIMITED = ("--client-output-buffer-limit", "pubsub 0 0 0")


@dataclass(frozen=True, slots=True)
class Result:
    """One run: CPU seconds of the subject, and its resident memory at the end (bytes)."""

    cpu_seconds: float
    memory: int


def publish(client: "redis.Redis", messages: Sequence[Message]) -> None:
    """Publish messages as fast as Redis takes them."""
    for start in range(0, len(messages), CHUNK):
        with client.pipeline(transaction=False) as pipeline:
            for message in messages[start : start + CHUNK]:
                pipeline.publish(message.channel, message.payload)
            pipeline.execute()


def measure(name: str, shape: Shape, messages: Sequence[Message]) -> Result:
    """Run one subject over the stream; raise AssertionError if it counts anything else than what was sent."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis", options=UNLIMITED)
        try:
            subject = SUBJECTS[name](server.port, shape, Path(folder))
            try:
                with server.client() as client:
                    return _run(subject, client, shape, messages)
            finally:
                subject.process.kill()
        finally:
            server.stop()


def _run(subject: Subject, client: "redis.Redis", shape: Shape, messages: Sequence[Message]) -> Result:
    process = psutil.Process(subject.process.pid)
    eventually(lambda: client.pubsub_numpat() > 0, within=60)
    before = _cpu_when_idle(process)
    publish(client, messages)
    after = _cpu_when_idle(process)
    counted = eventually(subject.counted, within=120)
    assert shape.tasks == counted, f"{subject.name} counted {counted} of {shape.tasks} tasks"
    return Result(max(after - before, CPU_RESOLUTION), process.memory_info().rss)


def _cpu_when_idle(process: psutil.Process) -> float:
    """CPU seconds of a process, read once it has nothing to do any more."""
    never, last = threading.Event(), -1.0
    while True:
        times = process.cpu_times()
        now = float(times.user + times.system)
        if now - last <= IDLE_SHARE * IDLE_SECONDS:
            return now
        last = now
        never.wait(IDLE_SECONDS)


def main(argv: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.events", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks in the stream; 4 events each")
    parser.add_argument("--runs", type=int, default=3, help="rounds over all subjects")
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS), help=f"any of {', '.join(SUBJECTS)}")
    options = parser.parse_args(argv)
    shape = Shape(tasks=options.tasks)
    messages = list(make_stream(shape))
    results: dict[str, list[Result]] = {name: [] for name in options.subjects}
    for number in range(options.runs):
        for name, found in results.items():
            found.append(measure(name, shape, messages))
            rate = shape.events / found[-1].cpu_seconds
            sys.stderr.write(f"round {number + 1}: {name}: {rate:,.0f} events per CPU second\n")
    _print_table(shape, options.runs, results)


def _print_table(shape: Shape, runs: int, results: dict[str, list[Result]]) -> None:
    ours = (
        statistics.median(result.cpu_seconds for result in results.get("exporter", [])) if "exporter" in results else 0
    )
    processor = platform.processor() or platform.machine()
    sys.stdout.write(
        f"{shape.events:,} events, {shape.names} names, {shape.workers} workers, medians of {runs} rounds, "
        f"Python {platform.python_version()}, {processor}\n\n"
        "| subject | events per CPU second | ours is faster by | memory after |\n|---|---|---|---|\n"
    )
    for name, found in results.items():
        cpu = statistics.median(result.cpu_seconds for result in found)
        memory = statistics.median(result.memory for result in found) / 1e6
        ratio = f"{cpu / ours:.2f}" if ours else ""
        sys.stdout.write(f"| {name} | {shape.events / cpu:,.0f} | {ratio} | {memory:.0f} MB |\n")


if __name__ == "__main__":
    main(sys.argv[1:])
