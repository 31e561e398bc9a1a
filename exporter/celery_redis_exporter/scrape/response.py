"""The response to one scrape: read the servers, render the series of events meanwhile, put both together.

Input: the format that was negotiated and a deadline. Output: the body. Runs in the thread of its caller, which waits
for the servers.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from celery_redis_exporter.exposition import Format, Renderer
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.scrape.scrape import Scrape
from celery_redis_exporter.scrape.server_reads import PendingReads


class Responder:
    """Makes response bodies, several at a time; ``events`` returns the families of Celery's events at this moment."""

    def __init__(self, scrape: Scrape, events: Callable[[], Sequence[Family]], renderer: Renderer) -> None:
        self._scrape = scrape
        self._events = events
        self._renderer = renderer

    def respond(self, reply_format: Format, deadline: float) -> bytes:
        """Return the body; the servers have ``deadline`` seconds."""
        openmetrics = reply_format.openmetrics
        pending = self._scrape.request(deadline)
        with _without_garbage_collection():
            events = self._renderer.render(self._events(), openmetrics=openmetrics)
            process = self._renderer.render_process(openmetrics=openmetrics)
            servers = self._render_servers(pending, openmetrics=openmetrics)
            return self._renderer.finish(chain(events, servers), process, reply_format)

    def _render_servers(self, pending: PendingReads, *, openmetrics: bool) -> Iterator[bytes]:
        """Wait for the servers, once the first piece is needed, and yield their families as text."""
        yield from self._renderer.render(self._scrape.group(pending.wait()), openmetrics=openmetrics)


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
        if was_enabled:  # otherwise another response under way enables it again
            gc.enable()
