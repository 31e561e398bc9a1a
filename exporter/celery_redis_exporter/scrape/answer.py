"""Binds the rooms for one answer to a scrape: collected, rendered, encoded.

A small one is made at once by the thread that asks, which is the web server's own: waking another thread and being
woken by it takes as long as making it. A large one, and one for which a server lets us wait, is made in a thread that
may be held.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from celery_redis_exporter.collectors.events import EventPipeline
from celery_redis_exporter.exposition import Format, Renderer
from celery_redis_exporter.scrape.scrape import Scrape
from celery_redis_exporter.state.tasks import Tasks

PATIENCE = 0.005
"""Seconds for which the web server's thread waits for replies."""
SMALL = 2000
"""Series left by events up to which the next answer is taken to be made within few milliseconds."""


class Answerer:
    """Makes answers, several at a time."""

    def __init__(self, scrape: Scrape, pipeline: EventPipeline, tasks: Tasks, renderer: Renderer) -> None:
        self.scrape = scrape
        self.renderer = renderer
        self.size = 0
        self._pipeline = pipeline
        self._tasks = tasks

    def begin(self, reply_format: Format, deadline: float) -> "Answer":
        """Ask the servers, which have ``deadline`` seconds; give the answer that is to be."""
        return Answer(self, reply_format, deadline)

    def render_events(self, reply_format: Format) -> Iterator[bytes]:
        """Render what events left."""
        families = self.scrape.events(self._pipeline, self._tasks)
        self.size = sum([len(family.series) for family in families])
        return self.renderer.render(families, openmetrics=reply_format.openmetrics)


class Answer:
    """One answer: ``at_once`` gives it or None, after which ``wait`` gives it."""

    def __init__(self, answerer: Answerer, reply_format: Format, deadline: float) -> None:
        self._answerer = answerer
        self._format = reply_format
        self._collection = answerer.scrape.begin(deadline)
        self._begun: tuple[list[bytes], bytes] | None = None

    def at_once(self) -> bytes | None:
        """Make the body if nobody is held up by that."""
        if self._answerer.size > SMALL:
            return None
        # The servers answer meanwhile.
        self._begun = list(self._answerer.render_events(self._format)), self._render_process()
        return self._finish(*self._begun) if self._collection.gather(PATIENCE) else None

    def wait(self) -> bytes:
        """Make the body, however long that takes; the servers' deadline bounds it."""
        if self._begun is not None:
            self._collection.wait()
            return self._finish(*self._begun)
        with _uncollected():
            return self._finish(self._answerer.render_events(self._format), self._render_process())

    def _finish(self, events: Iterable[bytes], process: bytes) -> bytes:
        return self._answerer.renderer.finish(chain(events, self._servers()), process, self._format)

    def _servers(self) -> Iterator[bytes]:
        answerer = self._answerer
        families = answerer.scrape.group(self._collection.wait())
        return answerer.renderer.render(families, openmetrics=self._format.openmetrics)

    def _render_process(self) -> bytes:
        return self._answerer.renderer.render_process(openmetrics=self._format.openmetrics)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Put the garbage collector off.

    It would come while the store is copied, which makes it due, and go through all of that: 5 to 10 ms, during which
    events wait, besides those for the copy.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:  # else somebody who makes another answer enables it again, or nobody wants it
            gc.enable()
