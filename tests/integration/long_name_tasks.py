# SPDX-License-Identifier: Apache-2.0
"""A task with a name of 600 characters. A worker imports this module with its setting ``imports``."""

from celery import shared_task

LONG_NAME = "x" * 600


@shared_task(name=LONG_NAME)  # type: ignore[untyped-decorator]  # Celery has no types
def with_long_name() -> None:
    """Do nothing."""
