"""Families in, the body of the response to a scrape out.

    families -> text (or collector, for another program's registry) -> negotiate -> bytes

Never reads a server, a clock or the state. prometheus_client is used in this package only.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.exposition.compression import compress
from celery_redis_exporter.exposition.negotiate import Format, negotiate
from celery_redis_exporter.exposition.process import ProcessMetrics
from celery_redis_exporter.exposition.text import render_family
from celery_redis_exporter.records.samples import Family

__all__ = ["Format", "ProcessMetrics", "Renderer", "negotiate"]

SMALL_FAMILY = 128
"""Series of a family whose text is kept between scrapes: those of a quiet system, and of one server."""
TOGETHER = 100
"""Series whose texts are joined at a time. No other thread runs while they are joined, and pieces of this size, some
200 kB, stay below the size at which the allocator returns memory to the system."""


class Renderer:
    """Renders bodies, part by part: families, and last the process's own metrics.

    ``created`` adds to OpenMetrics when each counter and histogram began at 0. Metrics named in ``dropped`` are left
    out.
    """

    def __init__(self, process: ProcessMetrics, *, created: bool = False, dropped: Collection[str] = ()) -> None:
        self._process = process
        self._dropped = frozenset(dropped)
        self._created = created
        self._kept: dict[bool, dict[Metric, tuple[Family, str]]] = {False: {}, True: {}}

    def render(self, families: Iterable[Family], *, openmetrics: bool) -> Iterator[bytes]:
        """Yield a part of a body, piece by piece. Each metric must come in one family at most.

        What can't be UTF-8 (half of a surrogate pair in a label) becomes ``?``: it must not cost a scrape.
        """
        shown = (family for family in families if family.metric.name not in self._dropped)
        texts = chain.from_iterable(self._render_family(family, openmetrics=openmetrics) for family in shown)
        while piece := list(islice(texts, TOGETHER)):
            yield "".join(piece).encode("utf-8", "replace")

    def _render_family(self, family: Family, *, openmetrics: bool) -> Iterable[str]:
        """Render a family, or return its text of the last time if it is small and the same; most families are both.

        Exemplars of histograms are in their values. Families of counters that have exemplars are always rendered.
        """
        is_kept = len(family.series) <= SMALL_FAMILY and not (
            family.metric.kind is Kind.COUNTER and any(series.exemplar is not None for series in family.series)
        )
        kept = self._kept[openmetrics].get(family.metric) if is_kept else None
        if kept is not None and kept[0].values == family.values and kept[0].series == family.series:
            return (kept[1],)
        lines = render_family(family, openmetrics=openmetrics, created=self._created)
        if is_kept:
            self._kept[openmetrics][family.metric] = (family, "".join(lines))
        return lines

    def render_process(self, *, openmetrics: bool) -> bytes:
        """Return the process's own metrics, for ``finish``. It takes some system calls."""
        return self._process.render(openmetrics=openmetrics).encode()

    def finish(self, texts: Iterable[bytes], process: bytes, reply_format: Format) -> bytes:
        """Return a body: its pieces and the process's own metrics, compressed if the format requires it."""
        end = b"# EOF\n" if reply_format.openmetrics else b""
        body = chain(texts, (process, end))
        return compress(body) if reply_format.gzip else b"".join(body)
