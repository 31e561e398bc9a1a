"""Families in, the body of the answer to a scrape out; the last room before the wire.

    families -> text (or collector, for someone else's registry) -> negotiate -> bytes

Never reads a server, a clock or the state. prometheus_client is used in this room only.
"""

from collections.abc import Iterable

from exporter.exposition.negotiate import Format, encode, negotiate
from exporter.exposition.process import ProcessMetrics
from exporter.exposition.text import render_families
from exporter.records import Family

__all__ = ["Format", "ProcessMetrics", "Renderer", "negotiate"]


class Renderer:
    """Renders whole bodies: the families, then the process's own metrics."""

    def __init__(self, process: ProcessMetrics) -> None:
        self._process = process

    def render(self, families: Iterable[Family], reply_format: Format) -> bytes:
        """Render in ``reply_format``, compressed if it says so; each metric must come in one family at most."""
        openmetrics = reply_format.openmetrics
        parts = [render_families(families, openmetrics=openmetrics), self._process.render(openmetrics=openmetrics)]
        if openmetrics:
            parts.append(b"# EOF\n")
        return encode(b"".join(parts), reply_format)
