# SPDX-License-Identifier: Apache-2.0
"""Simulate many exporters in one process: a recorded scrape per application, whose counters increase.

Input: the recorded response of one exporter. Output: an HTTP server on a free loopback port, with a page per
application. All counters grow by the same factor, so that histograms stay consistent, and moments move with the clock,
so that nothing looks old. No series is added. ``http.server`` sends it uncompressed, which Prometheus reads as well.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from celery_redis_exporter.catalog import CATALOG, Kind
from celery_redis_exporter.clock import SystemClock

GROWTH_SECONDS = 60.0
"""Seconds in which counters grow by their recorded values."""
Moves = Literal["grows", "follows", "stays"]
COUNTS = (Kind.COUNTER, Kind.HISTOGRAM)


class Recording:
    """One scrape, which can be rendered for any later time."""

    def __init__(self, text: str) -> None:
        self._lines = [_split(line) for line in text.splitlines()]

    def render(self, elapsed: float) -> str:
        """Return the text ``elapsed`` seconds after the recording."""
        factor = 1 + elapsed / GROWTH_SECONDS
        return "".join([_shown(line, moves, value, factor, elapsed) for line, moves, value in self._lines])


def _split(line: str) -> tuple[str, Moves, float]:
    """Return the text before the value, how the value changes, and the value. A comment has only text."""
    if line.startswith("#"):
        return line, "stays", 0.0
    series, _, value = line.rpartition(" ")
    return series, _moves(series.partition("{")[0]), float(value)


def _moves(name: str) -> Moves:
    for suffix in ("", "_bucket", "_count", "_sum"):
        metric = CATALOG.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if metric is not None and metric.kind in COUNTS:
            return "grows"
    return "follows" if name.endswith("_timestamp_seconds") else "stays"


def _shown(line: str, moves: Moves, value: float, factor: float, elapsed: float) -> str:
    if line.startswith("#"):
        return f"{line}\n"
    if moves == "grows":
        value *= factor
    elif moves == "follows":
        value += elapsed
    return f"{line} {value!r}\n"


@contextmanager
def serving(recording: Recording) -> Iterator[int]:
    """Serve a recording under ``/<any name>/metrics`` until the with block ends. Yield the port."""
    clock = SystemClock()
    start = clock.monotonic()

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = recording.render(clock.monotonic() - start).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Suppress the log of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
