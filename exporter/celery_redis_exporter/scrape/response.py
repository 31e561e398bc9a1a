# SPDX-License-Identifier: Apache-2.0
"""Make the response to one scrape: read the servers, render the series of events meanwhile, combine both.

Input: the negotiated format, and a deadline. Output: the body. Runs in the caller's thread, which waits for the
servers.
"""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Protocol

from celery_redis_exporter.exposition import Format, Renderer
from celery_redis_exporter.exposition.families import merge_families
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.scrape.scrape import Scrape
from celery_redis_exporter.scrape.server_reads import PendingReads

LARGE_BYTES = 1024 * 1024
"""The size from which on only one body is made at a time, since making it takes three times its size in memory."""
GZIP_FACTOR = 10
"""How many times smaller gzip makes a body, approximately."""


class MetricsSource(Protocol):
    """A part of a body: an application with its servers, or the process with those that several applications use."""

    @property
    def scrape(self) -> Scrape:
        """Return what reads its servers."""

    def families(self) -> list[Family]:
        """Return the current families of what is counted in memory."""

    def text_bytes(self) -> float:
        """Return the approximate length of the text of these families."""


class Responder:
    """Make response bodies, small ones several at a time.

    ``sources`` returns the parts of a body. ``turn`` is held while a large body is made. ``of_process`` adds the
    metrics of the process.
    """

    def __init__(
        self,
        sources: Callable[[], Sequence[MetricsSource]],
        renderer: Renderer,
        turn: threading.Lock,
        *,
        of_process: bool = True,
    ) -> None:
        self._sources = sources
        self._renderer = renderer
        self._of_process = of_process
        self._turns = _Turns(turn)
        self._last_size = 0

    def respond(self, reply_format: Format, deadline: float) -> bytes:
        """Return the body. The servers have ``deadline`` seconds."""
        sources = self._sources()
        reads = [(source.scrape, source.scrape.request(deadline)) for source in sources]
        if max(self._last_size, sum(source.text_bytes() for source in sources)) < LARGE_BYTES:
            body = self._render(reply_format, sources, reads)
        else:
            for _, pending in reads:
                pending.wait()
            body = self._turns.make(reply_format, lambda: self._render(reply_format, sources, reads))
        self._last_size = len(body) * (GZIP_FACTOR if reply_format.gzip else 1)
        return body

    def _render(
        self, reply_format: Format, sources: Sequence[MetricsSource], reads: Sequence[tuple[Scrape, PendingReads]]
    ) -> bytes:
        syntax = reply_format.syntax
        with _without_garbage_collection():
            counted = [source.families() for source in sources]
            process = self._renderer.render_process(syntax) if self._of_process else b""
            texts = self._renderer.render(_in_order(counted, reads), syntax)
            return self._renderer.finish(texts, process, reply_format)


def _in_order(counted: Sequence[Sequence[Family]], reads: Sequence[tuple[Scrape, PendingReads]]) -> Iterator[Family]:
    """Yield the families that are ``counted`` in memory, then those of the servers, for which it waits only then.

    Of several sources, one may count in memory what another one reads from its broker. Then all are needed first.
    """
    if len(counted) == 1:
        yield from counted[0]
        yield from reads[0][0].group(reads[0][1].wait())
        return
    yield from merge_families([*counted, *(scrape.group(pending.wait()) for scrape, pending in reads)])


class _Turns:
    """Make one body at a time. Callers that waited meanwhile share a body that was begun after their call."""

    def __init__(self, turn: threading.Lock) -> None:
        self._lock, self._turn = threading.Lock(), turn
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
