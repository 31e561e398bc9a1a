"""Families in, the body of the answer to a scrape out; the last room before the wire.

    families -> text (or collector, for someone else's registry) -> negotiate -> bytes

Never reads a server, a clock or the state. prometheus_client is used in this room only.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from exporter.catalog import Kind, Metric
from exporter.exposition.negotiate import Format, encode, negotiate
from exporter.exposition.process import ProcessMetrics
from exporter.exposition.text import has_exemplars, render_family
from exporter.records import Exemplar, Family, SeriesView, Value

__all__ = ["Format", "ProcessMetrics", "Renderer", "negotiate"]


SMALL_FAMILY = 64
"""Series of a family whose text is kept between scrapes, as one piece: those of a quiet system, and of one server."""


class _Text(NamedTuple):
    """What a family looked like, and its text; ``exemplars`` is None where there can be none but in values."""

    family: Family
    series: Sequence[SeriesView]
    values: Sequence[Value | None]
    exemplars: Sequence[Exemplar | None] | None
    text: tuple[str]


class Renderer:
    """Renders bodies, part by part: families, and last the process's own metrics.

    ``created`` adds to OpenMetrics when each counter and histogram began at 0; metrics named in ``dropped`` are left
    out.
    """

    def __init__(self, process: ProcessMetrics, *, created: bool = False, dropped: Collection[str] = ()) -> None:
        self._process = process
        self._dropped = frozenset(dropped)
        self._created = created
        self._kept: dict[tuple[Metric, bool], _Text] = {}

    def render(self, families: Iterable[Family], *, openmetrics: bool) -> Iterator[Sequence[str]]:
        """Render a part of a body, pieces for each family; each metric must come in one family at most."""
        for family in families:
            if family.metric.name in self._dropped:
                continue
            yield self._render_family(family, openmetrics=openmetrics)

    def render_process(self, *, openmetrics: bool) -> str:
        """Render the process's own metrics, which ``finish`` takes; a system call for each of some."""
        return self._process.render(openmetrics=openmetrics)

    def finish(self, texts: Iterable[Sequence[str]], process: str, reply_format: Format) -> bytes:
        """Put a body together from its pieces and the process's own metrics, compressed if the format says so."""
        end = "# EOF\n" if reply_format.openmetrics else ""
        return encode(chain(texts, [(process, end)]), reply_format)

    def _render_family(self, family: Family, *, openmetrics: bool) -> Sequence[str]:
        """Render, or give the text of the last time if nothing has changed (0.0 and -0.0 count as the same here)."""
        metric, series = family.metric, family.series
        kept = self._kept.get((metric, openmetrics))
        if kept is not None and kept.family is family and kept.exemplars is None:
            return kept.text
        if len(series) > SMALL_FAMILY:
            return render_family(family, openmetrics=openmetrics, created=self._created)
        if kept is not None and kept.values == family.values and kept.series == series:
            told = kept.exemplars
            if told is None or told == [one.exemplar for one in series]:
                return kept.text
        text = ("".join(render_family(family, openmetrics=openmetrics, created=self._created)),)
        # Those of histograms are in their values.
        on_counters = openmetrics and metric.kind is Kind.COUNTER and has_exemplars(metric)
        exemplars = [one.exemplar for one in series] if on_counters else None
        self._kept[metric, openmetrics] = _Text(family, series, family.values, exemplars, text)
        return text
