"""Make the response to one scrape: read the servers, render the series of events meanwhile, combine both.

Input: the negotiated format, and a deadline. Output: the body. Runs in the caller's thread, which waits for the
servers.
"""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count

from celery_redis_exporter.exposition import Format, Renderer
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.scrape.scrape import Scrape
from celery_redis_exporter.scrape.server_reads import PendingReads

LARGE_BYTES = 1024 * 1024
"""The size from which on only one body is made at a time, since making it takes three times its size in memory."""
GZIP_FACTOR = 10
"""How many times smaller gzip makes a body, approximately."""


class Responder:
    """Make response bodies, small ones several at a time.

    ``events`` returns the current families of Celery's events. ``expected_bytes`` returns the approximate length of
    their text.
    """

    def __init__(
        self,
        scrape: Scrape,
        events: Callable[[], Sequence[Family]],
        renderer: Renderer,
        expected_bytes: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._expected_bytes = expected_bytes
        self._scrape = scrape
        self._events = events
        self._renderer = renderer
        self._turns = _Turns()
        self._last_size = 0

    def respond(self, reply_format: Format, deadline: float) -> bytes:
        """Return the body. The servers have ``deadline`` seconds."""
        pending = self._scrape.request(deadline)
        if max(self._last_size, self._expected_bytes()) < LARGE_BYTES:
            body = self._render(reply_format, pending)
        else:
            pending.wait()
            body = self._turns.make(reply_format, lambda: self._render(reply_format, pending))
        self._last_size = len(body) * (GZIP_FACTOR if reply_format.gzip else 1)
        return body

    def _render(self, reply_format: Format, pending: PendingReads) -> bytes:
        openmetrics = reply_format.openmetrics
        with _without_garbage_collection():
            events = self._renderer.render(self._events(), openmetrics=openmetrics)
            process = self._renderer.render_process(openmetrics=openmetrics)
            servers = self._render_servers(pending, openmetrics=openmetrics)
            return self._renderer.finish(chain(events, servers), process, reply_format)

    def _render_servers(self, pending: PendingReads, *, openmetrics: bool) -> Iterator[bytes]:
        """Wait for the servers when the first piece is needed, and yield their families as text."""
        yield from self._renderer.render(self._scrape.group(pending.wait()), openmetrics=openmetrics)


class _Turns:
    """Make one body at a time. Callers that waited meanwhile share a body that was begun after their call."""

    def __init__(self) -> None:
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._moments = count()
        self._waiting = 0
        self._shared: dict[Format, tuple[int, bytes]] = {}  # When it was begun, and the body, by format.

    def make(self, reply_format: Format, make: Callable[[], bytes]) -> bytes:
        """Return a body of a format. Call ``make`` if there is none to share."""
        with self._lock:
            came = next(self._moments)
            self._waiting += 1
        with self._turn:
            with self._lock:
                self._waiting -= 1
                begun = next(self._moments)
            shared_since, body = self._shared.get(reply_format, (-1, b""))
            if shared_since < came:
                body = make()
                self._shared[reply_format] = begun, body
            if not self._waiting:
                self._shared.clear()
        return body


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Defer the garbage collector.

    Copying the store makes a collection due, which then walks over that copy: 5 to 10 ms, during which events wait.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:  # If it was disabled, another response is being made, which enables it again.
            gc.enable()
