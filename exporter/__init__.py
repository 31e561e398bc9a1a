"""Celery events and Redis statistics in, Prometheus metrics out.

The folders are the way of the data:

    sources -> decode -> state -> exposition -> web

``pipeline`` and ``scrape`` bind the rooms, ``app`` builds them, ``cli`` starts them;
``catalog``, ``records``, ``errors`` and ``clock`` are the words that every room shares.
Importing this package has no effect.
"""

__version__ = "0.1.0"
