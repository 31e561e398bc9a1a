"""Scrape times, side by side: ``python -m tests.bench.scrapes [--runs N]``.

One Redis with the queues and the events of a small installation, read in turn by this exporter and by Debian's
prometheus-redis-exporter, over HTTP as Prometheus does. Ours reads the queues too and serves the events' metrics.
Freshness is 0, so that each scrape is a read of Redis; what a scrape costs Redis is taken from its own counters.
"""

import argparse
import http.client
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from exporter.clock import SystemClock
from tests.bench.events import publish
from tests.bench.streams import Shape, heartbeat, make_stream
from tests.integration.processes import Process, free_port, system_program
from tests.integration.redis_servers import RedisServer
from tests.waiting import eventually

QUEUES = 10


def start_ours(server: RedisServer, folder: Path) -> tuple[Process, int]:
    """Start this exporter; give its port."""
    port = free_port()
    command = [sys.executable, "-m", "exporter", "--broker-url", server.url(), "--scrape.freshness", "0"]
    return Process([*command, "--web.listen-address", f"127.0.0.1:{port}"], folder / "exporter.log"), port


def start_redis_exporter(server: RedisServer, folder: Path) -> tuple[Process, int]:
    """Start Debian's redis_exporter; give its port."""
    port = free_port()
    command = [system_program("prometheus-redis-exporter"), "-redis.addr", server.url()]
    return Process([*command, "-web.listen-address", f"127.0.0.1:{port}"], folder / "redis-exporter.log"), port


def scrape(connection: http.client.HTTPConnection) -> tuple[float, int]:
    """Scrape once, as Prometheus does, on a kept connection; give seconds and lines."""
    clock = SystemClock()
    start = clock.monotonic()
    connection.request("GET", "/metrics", headers={"Accept": "text/plain; version=0.0.4"})
    body = connection.getresponse().read()
    return clock.monotonic() - start, body.count(b"\n")


def is_up(port: int) -> bool:
    """Whether a scrape succeeds and shows a Redis that is up."""
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/metrics")
            body = connection.getresponse().read()
    except OSError:
        return False
    return any(
        line.startswith(b"redis_up") and line.endswith(b" 1") for line in body.replace(b".0\n", b"\n").split(b"\n")
    )


def main(argv: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scrapes", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="scrapes of each")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = RedisServer(folder / "redis")
        started = {
            "prometheus-redis-exporter": start_redis_exporter(server, folder),
            "this": start_ours(server, folder),
        }
        try:
            for _, port in started.values():
                eventually(lambda p=port: is_up(p), within=20)  # type: ignore[misc]  # a lambda's default has no type
            _fill(server)
            _measure(started, server, options.runs)
        finally:
            for process, _ in started.values():
                process.kill()
            server.stop()


def _fill(server: RedisServer) -> None:
    """Give the broker ten queues with messages, and the exporter the events of one worker."""
    with server.client() as client:
        eventually(lambda: client.pubsub_numpat() > 0)
        for number in range(QUEUES):
            client.sadd(f"_kombu.binding.queue{number}", f"\x06\x16\x06\x16queue{number}")
            client.lpush(f"queue{number}", '{"body": "", "headers": {"id": "a"}}')
        publish(client, [heartbeat("worker0@host", 0), *make_stream(Shape(tasks=1000, workers=1, queues=QUEUES))])


def _measure(started: dict[str, tuple[Process, int]], server: RedisServer, runs: int) -> None:
    with ExitStack() as stack:
        connections = {
            name: stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port)))
            for name, (_, port) in started.items()
        }
        times, lines = _scrape_in_turn(connections, runs)
    _print_table(times, lines, f"Redis {server.command('INFO')['redis_version']}, {runs} scrapes in turn")


def _scrape_in_turn(
    connections: dict[str, http.client.HTTPConnection], runs: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    times: dict[str, list[float]] = {name: [] for name in connections}
    lines = dict.fromkeys(connections, 0)
    eventually(lambda: scrape(connections["this"])[1] > 1000)
    for _ in range(runs):
        for name, connection in connections.items():
            seconds, lines[name] = scrape(connection)
            times[name].append(seconds)
    return times, lines


def _print_table(times: dict[str, list[float]], lines: dict[str, int], what: str) -> None:
    medians = {name: statistics.median(found) for name, found in times.items()}
    sys.stdout.write(f"1 worker, {QUEUES} queues, {what}, Python {platform.python_version()}\n\n")
    sys.stdout.write("| | lines | median | p99 |\n|---|---|---|---|\n")
    for name, found in times.items():
        p99 = statistics.quantiles(found, n=100)[98]
        sys.stdout.write(f"| {name} | {lines[name]} | {medians[name] * 1e3:.2f} ms | {p99 * 1e3:.2f} ms |\n")
    ratio = medians["this"] / medians["prometheus-redis-exporter"]
    sys.stdout.write(f"\nratio of the medians: {ratio:.2f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
