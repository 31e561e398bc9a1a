"""Celery events and Redis statistics in, Prometheus metrics out.

The folders are the way of the data:

    sources -> decode -> state -> exposition -> web

``pipeline`` and ``scrape`` bind the rooms, ``app`` builds them, ``cli`` starts them;
``catalog``, ``records``, ``errors`` and ``clock`` are the words that every room shares.
``Collector`` is the exporter for another program's registry.
Importing this package has no effect.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_redis_exporter.daemon.library import Collector

__version__ = "0.1.0"
__all__ = ["Collector", "__version__"]


def __getattr__(name: str) -> object:
    """Import the collector when it is asked for: it brings every room along, which most commands can do without."""
    if name != "Collector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from celery_redis_exporter.daemon.library import Collector  # noqa: PLC0415 -- see above

    return Collector
