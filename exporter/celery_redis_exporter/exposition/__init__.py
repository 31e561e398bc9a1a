"""Families in, the body of the answer to a scrape out; the last room before the wire.

    families -> text (or collector, for someone else's registry) -> negotiate -> bytes

Never reads a server, a clock or the state. prometheus_client is used in this room only.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.exposition.compression import compress
from celery_redis_exporter.exposition.negotiate import Format, negotiate
from celery_redis_exporter.exposition.process import ProcessMetrics
from celery_redis_exporter.exposition.text import has_exemplars, render_family
from celery_redis_exporter.records.samples import Exemplar, Family, SeriesView, Value

__all__ = ["Format", "ProcessMetrics", "Renderer", "negotiate"]


SMALL_FAMILY = 128
"""Series of a family whose text is kept between scrapes, as one piece: those of a quiet system, and of one server."""

TOGETHER = 500
"""Series whose texts, at most some kilobytes each, are joined at a time."""


@dataclass(slots=True)
class _Text:
    """What a family looked like, and its text; ``exemplars`` is None where there can be none but in values.

    ``family`` is the last one that looked like that: one that comes again need not be looked at.
    """

    family: Family
    series: Sequence[SeriesView]
    values: Sequence[Value | None]
    exemplars: Sequence[Exemplar | None] | None
    text: bytes


class Renderer:
    """Renders bodies, part by part: families, and last the process's own metrics.

    ``created`` adds to OpenMetrics when each counter and histogram began at 0; metrics named in ``dropped`` are left
    out.
    """

    def __init__(self, process: ProcessMetrics, *, created: bool = False, dropped: Collection[str] = ()) -> None:
        self._process = process
        self._dropped = frozenset(dropped)
        self._created = created
        self._kept: dict[bool, dict[Metric, _Text]] = {False: {}, True: {}}

    def render(self, families: Iterable[Family], *, openmetrics: bool) -> Iterator[bytes]:
        """Render a part of a body, piece by piece; each metric must come in one family at most.

        What can't be UTF-8 (half a surrogate pair in a label) becomes ``?``, since it must not cost a scrape.
        """
        kept = self._kept[openmetrics]
        for family in families:
            found = kept.get(family.metric)
            if found is not None and found.family is family and found.exemplars is None:
                yield found.text
            elif family.metric.name in self._dropped:
                continue
            elif len(family.series) > SMALL_FAMILY:
                yield from self._render_large(family, openmetrics=openmetrics)
            else:
                yield self._render_small(family, found, openmetrics=openmetrics)

    def render_process(self, *, openmetrics: bool) -> bytes:
        """Render the process's own metrics, which ``finish`` takes; a system call for each of some."""
        return self._process.render(openmetrics=openmetrics).encode()

    def finish(self, texts: Iterable[bytes], process: bytes, reply_format: Format) -> bytes:
        """Put a body together from its pieces and the process's own metrics, compressed if the format says so."""
        end = b"# EOF\n" if reply_format.openmetrics else b""
        body = chain(texts, (process, end))
        return compress(body) if reply_format.gzip else b"".join(body)

    def _render_small(self, family: Family, kept: _Text | None, *, openmetrics: bool) -> bytes:
        """Render, or give the text of the last time if nothing has changed (0.0 and -0.0 count as the same here)."""
        metric, series = family.metric, family.series
        if kept is not None and kept.values == family.values and kept.series == series:
            told = kept.exemplars
            if told is None or told == [one.exemplar for one in series]:
                kept.family = family
                return kept.text
        lines = render_family(family, openmetrics=openmetrics, created=self._created)
        text = "".join(lines).encode("utf-8", "replace")
        # Those of histograms are in their values.
        on_counters = openmetrics and metric.kind is Kind.COUNTER and has_exemplars(metric)
        exemplars = [one.exemplar for one in series] if on_counters else None
        self._kept[openmetrics][metric] = _Text(family, series, family.values, exemplars, text)
        return text

    def _render_large(self, family: Family, *, openmetrics: bool) -> Iterator[bytes]:
        """Render some series at a time, since nothing else runs while texts are joined."""
        lines = render_family(family, openmetrics=openmetrics, created=self._created)
        for start in range(0, len(lines), TOGETHER):
            yield "".join(lines[start : start + TOGETHER]).encode("utf-8", "replace")
