"""Many exporters' output from one process: a recorded scrape per application, whose counters move.

Takes what an exporter answered once, gives an HTTP server on a free loopback port with a page per application. Counters
grow all by one factor, so that histograms stay whole, and moments move with the clock, so that nothing looks old. Never
invents a series. ``http.server`` serves it uncompressed, which Prometheus reads as well.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from celery_redis_exporter.catalog import CATALOG, Kind
from celery_redis_exporter.clock import SystemClock

GROWTH_SECONDS = 60.0
"""Time in which counters grow by what they had when they were recorded."""
Moves = Literal["grows", "follows", "stays"]
COUNTS = (Kind.COUNTER, Kind.HISTOGRAM)


class Recording:
    """One scrape, to be shown at any later time."""

    def __init__(self, text: str) -> None:
        self._lines = [_split(line) for line in text.splitlines()]

    def render(self, elapsed: float) -> str:
        """Give the text as it would be so many seconds later."""
        factor = 1 + elapsed / GROWTH_SECONDS
        return "".join([_shown(line, moves, value, factor, elapsed) for line, moves, value in self._lines])


def _split(line: str) -> tuple[str, Moves, float]:
    """Take a line apart: what stands before the value, how that moves, and the value; comments stay as they are."""
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
    """Serve a recording under ``/<any name>/metrics``, for the time of a with block; give the port."""
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
            """Say nothing."""

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
