# SPDX-License-Identifier: Apache-2.0
"""A task that sends no events. A worker imports this module with its setting ``imports``."""

from celery import shared_task

EVENTLESS = "eventless"


@shared_task(name=EVENTLESS, send_events=False)  # type: ignore[untyped-decorator]  # Celery has no types
def without_events() -> None:
    """Do nothing."""
