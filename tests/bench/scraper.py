# SPDX-License-Identifier: Apache-2.0
"""A scrape as Prometheus sends it, on a keep-alive connection, with almost no cost of the scraper.

Input: a port. Output: seconds and bodies. The request is prepared in advance, and the response is read to its last
byte; it is decompressed and parsed after the measured time.
"""

import gzip
import re
import socket
from dataclasses import dataclass

from celery_redis_exporter.clock import SystemClock

# As Prometheus 2 sends it.
ACCEPT = (
    b"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    b"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
TEXT = b"text/plain;version=0.0.4"
RECEIVE_BYTES = 1 << 20
LAST_CHUNK = b"\r\n0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to a scrape: the ``seconds`` from the request to its last byte, and the decompressed ``body``."""

    seconds: float
    body: bytes

    @property
    def lines(self) -> int:
        """Return the number of lines of the body."""
        return self.body.count(b"\n")

    def total(self, pattern: str) -> float:
        """Return the sum of the samples whose lines start with ``pattern``."""
        lines = re.findall(rb"^(?:%b).*$" % pattern.encode(), self.body, re.MULTILINE)
        return sum(float(line.partition(b" # ")[0].rpartition(b" ")[2]) for line in lines)


class Scraper:
    """One connection to an exporter; ``encoding`` is the Accept-Encoding: gzip, or identity for no compression."""

    def __init__(self, port: int, encoding: str = "identity", accept: bytes = ACCEPT) -> None:
        self._request = (
            b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: Prometheus/2.42.0\r\nAccept: %b\r\n"
            b"Accept-Encoding: %b\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"
        ) % (port, accept, encoding.encode())
        self._clock = SystemClock()
        self._buffer = bytearray(RECEIVE_BYTES)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def scrape(self) -> Answer:
        """Scrape once; raise AssertionError for any status but 200, OSError if the connection ends."""
        start = self._clock.monotonic()
        self._socket.sendall(self._request)
        raw = bytearray()
        missing: int | None = None
        head = -1
        while head < 0 or (missing if missing is not None else not raw.endswith(LAST_CHUNK)):
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise ConnectionResetError("the exporter closed the connection")
            raw += memoryview(self._buffer)[:size]
            if head < 0 and (head := raw.find(b"\r\n\r\n")) >= 0:
                length = _LENGTH.search(raw, 0, head)
                missing = int(length[1]) - (len(raw) - head - 4) if length else None
            elif missing is not None:
                missing -= size
        return Answer(self._clock.monotonic() - start, _unpack(bytes(raw[:head]), bytes(raw[head + 4 :])))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def scrape_once(port: int) -> Answer:
    """Scrape in text on a new connection."""
    scraper = Scraper(port, accept=TEXT)
    try:
        return scraper.scrape()
    finally:
        scraper.close()


def _unpack(head: bytes, body: bytes) -> bytes:
    assert b" 200 " in head.partition(b"\r\n")[0], head
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        body = _join_chunks(body)
    return gzip.decompress(body) if b"content-encoding: gzip" in lowered else body


def _join_chunks(body: bytes) -> bytes:
    chunks, at = [], 0
    while size := int(body[at : body.index(b"\r\n", at)], 16):
        begin = body.index(b"\r\n", at) + 2
        chunks.append(body[begin : begin + size])
        at = begin + size + 2
    return b"".join(chunks)
