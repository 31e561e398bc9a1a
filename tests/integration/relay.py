# SPDX-License-Identifier: Apache-2.0
"""Run an HTTP server between Prometheus and an exporter that records requests and responses.

A target of Prometheus is a path: ``/plain`` is ``/metrics`` of the exporter, recorded as ``plain``.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.integration.exporters import Exporter

PASSED_ON = ("Content-Type", "Content-Encoding")


class Exchange(NamedTuple):
    """The Accept header of a scrape, and the Content-Type of its response."""

    accept: str
    content_type: str


class Relay:
    """The recorded exchanges so far, by path. ``job`` returns the scrape configuration for a path."""

    def __init__(self, port: int) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self._port = port

    def job(self, name: str, **options: object) -> dict[str, Any]:
        """Return a scrape configuration with additional options."""
        targets = [{"targets": [f"127.0.0.1:{self._port}"]}]
        return {"job_name": name, "metrics_path": f"/{name}", "static_configs": targets, **options}


@contextmanager
def relay_to(exporter: Exporter) -> Iterator[Relay]:
    """Listen on a free port during a with block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept = {name: value for name, value in self.headers.items() if name.startswith("Accept")}
            answer = exporter.get("/metrics", kept)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            relay.exchanges[self.path[1:]] = Exchange(self.headers["Accept"], headers["content-type"])
            self.send_response(answer.status)
            for name in PASSED_ON:
                if name.lower() in headers:
                    self.send_header(name, headers[name.lower()])
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Suppress the log of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        relay = Relay(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join()
