# SPDX-License-Identifier: Apache-2.0
"""Render families as the body of the response to a scrape.

    families -> text or protobuf (or collector, for another program's registry) -> negotiate -> bytes

No server, clock or state is read. prometheus_client is used in this package only.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.exposition.compression import compress
from celery_redis_exporter.exposition.negotiate import Format, Syntax, negotiate
from celery_redis_exporter.exposition.process import ProcessMetrics
from celery_redis_exporter.exposition.protobuf import encode_family
from celery_redis_exporter.exposition.text import render_family
from celery_redis_exporter.records.samples import Exemplar, Family, SeriesView, Value

__all__ = ["Format", "ProcessMetrics", "Renderer", "Syntax", "negotiate"]

T = TypeVar("T")

SMALL_FAMILY = 128
"""Families of at most this many series keep their text between scrapes: those of a quiet system, and of one server."""
TOGETHER = 100
"""Series whose texts are joined at a time. No other thread runs while they are joined.

Pieces of this size, some 200 kB, stay below the size at which the allocator returns memory to the system.
"""


class _Kept(NamedTuple):
    """A family that was rendered, and its text."""

    series: Sequence[SeriesView]
    values: Sequence[Value | None]
    exemplars: Sequence[Exemplar | None]
    text: bytes


class Renderer:
    """Renders the parts of a body: families first, the process's own metrics last.

    ``created`` adds the time at which each counter and histogram began at 0, which text 0.0.4 can't contain.
    Without ``classic`` buckets, histograms that have native ones contain those only in protobuf. Metrics named in
    ``dropped`` are left out.
    """

    def __init__(
        self,
        process: ProcessMetrics,
        *,
        created: bool = False,
        classic: bool = True,
        dropped: Collection[str] = (),
    ) -> None:
        self._process = process
        self._dropped = frozenset(dropped)
        self._created = created
        self._classic = classic
        self._kept: dict[bool, dict[Metric, _Kept]] = {False: {}, True: {}}

    def render(self, families: Iterable[Family], syntax: Syntax) -> Iterator[bytes]:
        """Yield a part of a body in pieces. Each metric must occur in at most one family.

        Text that can't be encoded in UTF-8 (half of a surrogate pair in a label) becomes ``?``, so that the scrape
        succeeds.
        """
        openmetrics = syntax is Syntax.OPENMETRICS
        for family in families:
            if family.metric.name in self._dropped:
                continue
            if syntax is Syntax.PROTOBUF:
                yield from map(b"".join, _together(encode_family(family, classic=self._classic, created=self._created)))
            elif len(family.series) <= SMALL_FAMILY:
                yield self._render_small(family, openmetrics=openmetrics)
            else:
                yield from map(
                    _encode, _together(render_family(family, openmetrics=openmetrics, created=self._created))
                )

    def _render_small(self, family: Family, *, openmetrics: bool) -> bytes:
        """Return the text of a family: the last text if nothing has changed, as is the case for most small families."""
        metric, series, values = family.metric, family.series, family.values
        # The exemplars of histograms are part of their values.
        exemplars = [one.exemplar for one in series] if openmetrics and metric.kind is Kind.COUNTER else []
        kept = self._kept[openmetrics].get(metric)
        if kept is None or kept.values != values or kept.series != series or kept.exemplars != exemplars:
            text = _encode(render_family(family, openmetrics=openmetrics, created=self._created))
            kept = self._kept[openmetrics][metric] = _Kept(series, values, exemplars, text)
        return kept.text

    def render_process(self, syntax: Syntax) -> bytes:
        """Return the process's own metrics, for ``finish``. It takes some system calls."""
        if syntax is Syntax.PROTOBUF:
            return self._process.encode()
        return self._process.render(openmetrics=syntax is Syntax.OPENMETRICS).encode()

    def finish(self, texts: Iterable[bytes], process: bytes, reply_format: Format) -> bytes:
        """Return the body: its pieces and the process's own metrics, compressed if the format requires it."""
        end = b"# EOF\n" if reply_format.syntax is Syntax.OPENMETRICS else b""
        body = chain(texts, (process, end))
        is_protobuf = reply_format.syntax is Syntax.PROTOBUF
        return compress(body, messages=is_protobuf) if reply_format.gzip else b"".join(body)


def _together(pieces: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the pieces of a family some at a time."""
    return (pieces[start : start + TOGETHER] for start in range(0, len(pieces), TOGETHER))


def _encode(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode("utf-8", "replace")
