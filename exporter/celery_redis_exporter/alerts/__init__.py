# SPDX-License-Identifier: Apache-2.0
"""Alerting and recording rules: data, one module per subject, and what turns them into files.

Output: ``GROUPS``. ``python -m celery_redis_exporter.alerts.files --write`` makes the files in ``alerts/``
of them.
"""

from celery_redis_exporter.alerts import celery_queues, celery_tasks, celery_workers, exporter, redis
from celery_redis_exporter.alerts.rule import Alert, Recording, RuleGroup

__all__ = ["GROUPS", "Alert", "Recording", "RuleGroup"]

GROUPS: tuple[RuleGroup, ...] = (
    exporter.GROUP,
    celery_workers.GROUP,
    celery_tasks.GROUP,
    celery_queues.GROUP,
    redis.GROUP,
)
