# SPDX-License-Identifier: Apache-2.0
"""Render families as the exporter does, without the metrics of the process.

Input: families. Output: the text of one format. Each call uses a new ``Renderer``, so that only the series' own caches
are kept from call to call.
"""

from collections.abc import Iterable

from celery_redis_exporter.exposition import ProcessMetrics, Renderer, Syntax
from celery_redis_exporter.records.samples import Family

_PROCESS = ProcessMetrics()


def render_families(families: Iterable[Family], *, openmetrics: bool, created: bool = False) -> bytes:
    """Return the text of the families, in their order, without ``# EOF``."""
    syntax = Syntax.OPENMETRICS if openmetrics else Syntax.TEXT
    return b"".join(Renderer(_PROCESS, created=created).render(families, syntax))
