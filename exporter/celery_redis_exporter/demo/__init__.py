"""The demo: a sample Celery application with its own Redis, workers, beat and customers, and this exporter.

``run`` takes the arguments behind ``celery-redis-exporter demo``. Nothing of the exporter is loaded by importing this
package, so that the sample's processes, whose modules live here too, start quickly.
"""


def run(argv: list[str]) -> int:
    """Run the demo until it is stopped; give the exit code. Raises ConfigError for wrong flags or without Redis."""
    from celery_redis_exporter.demo.demonstration import demonstrate  # noqa: PLC0415 -- see above

    return demonstrate(argv)
