# SPDX-License-Identifier: Apache-2.0
"""The demo: a sample Celery application with its own Redis, workers, beat and customers, and this exporter.

``run`` takes the arguments after ``celery-redis-exporter demo``. Importing this package loads no other part of the
exporter, so that the sample's processes, whose modules are in it, start quickly.
"""


def run(argv: list[str]) -> int:
    """Run the demo until it is stopped. Return the exit code. Raises ConfigError for wrong flags or without Redis."""
    from celery_redis_exporter.demo.demonstration import demonstrate  # noqa: PLC0415 -- see above

    return demonstrate(argv)
