# SPDX-License-Identifier: Apache-2.0
"""Export Celery events and Redis statistics as Prometheus metrics.

The packages follow the data:

    sources -> decode -> state -> exposition -> web

``collectors`` and ``scrape`` connect them, ``daemon`` builds the process, ``cli`` starts it. ``catalog``, ``records``,
``errors`` and ``clock`` are shared by all of them. ``Collector`` is the exporter for another program's registry.
Importing this package has no side effect.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_redis_exporter.daemon.library import Collector

__version__ = "1.0.0"
__all__ = ["Collector", "__version__"]


def __getattr__(name: str) -> object:
    """Import the collector on first use. It imports every layer, which most commands do not need."""
    if name != "Collector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from celery_redis_exporter.daemon.library import Collector  # noqa: PLC0415 -- see above

    return Collector
