# SPDX-License-Identifier: Apache-2.0
"""Grafana dashboards: data in Python, one file for each dashboard, and what turns them into JSON.

Takes nothing, gives ``BOARDS``. ``python -m grafana.generator --write`` makes the files in ``grafana/`` of them.
"""

from grafana.generator import celery_overview, celery_queues, celery_task, celery_workers, exporter, redis
from grafana.generator.board import Board

__all__ = ["BOARDS", "Board"]

BOARDS: tuple[Board, ...] = (
    celery_overview.BOARD,
    celery_task.BOARD,
    celery_workers.BOARD,
    celery_queues.BOARD,
    redis.BOARD,
    exporter.BOARD,
)
